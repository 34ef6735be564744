// Any number of runs on one WebSocket, which comes back by itself and goes on where each run was.

import { delayMs } from "./backoff.js";

// Coming back would change nothing: a message we should not have sent, and a page that may not connect.
const HOPELESS = new Set([4400, 4403]);
// Refusals that pass: a limit, a restart, a database that is away.
const PASSING = new Set(["rate_limited", "draining", "database_unavailable"]);

export class Socket {
  #runs = new Set();
  #socket = null;
  #isOpen = false;
  #tries = 0;
  #denials = 0;
  #timer = null;
  #heardAt = 0;

  // `token` is asked for a fresh token each time. Who is silent for `patienceMs` is taken for lost.
  constructor({ server, token, onState, patienceMs = 20_000 }) {
    this.address = `${server.replace(/^http/, "ws")}/ws`;
    Object.assign(this, { token, onState, patienceMs });
    addEventListener("online", () => this.#wanted && !this.#isOpen && this.#connect());
    addEventListener("offline", () => this.#socket && this.#lost("offline"));
    setInterval(() => this.#check(), patienceMs / 2);
  }

  follow(run) {
    this.#runs.add(run);
    if (this.#isOpen) this.#ask(run);
    else if (this.#socket === null && this.#timer === null) this.#connect();
  }

  leave(run) {
    this.#runs.delete(run);
    if (!this.#wanted) this.#drop();
  }

  cancel(run) {
    if (this.#isOpen && run.id !== null) this.#say("agent_cancel", { runId: run.id, requestId: run.key });
  }

  get #wanted() {
    return this.#runs.size > 0;
  }

  async #connect() {
    this.#drop();
    this.#heardAt = Date.now();
    this.onState("connecting");
    const mine = (this.#socket = { close() {} }); // until the token is there
    const token = await this.token();
    if (this.#socket !== mine) return;
    // A subprotocol is the one header a page can give a socket. The server answers with the first of them only.
    const socket = (this.#socket = new WebSocket(this.address, ["switchyard.v1", `jwt-${token}`]));
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    socket.onclose = (event) => this.#lost(event.code);
  }

  #hear(message) {
    this.#heardAt = Date.now();
    if (message.type === "connected") this.#welcome();
    else if (message.type === "error") this.#refused(message);
    else if (message.type === "agent_gap") this.#of(message)?.refuse("gap", "its beginning is no longer kept");
    else if (message.type === "agent_execution_started") this.#started(message);
    else if ("seq" in message) this.#of(message)?.receive(message);
    // The socket stays for the next question, but without runs it does not come back.
    for (const run of this.#runs) if (run.end !== null) this.#runs.delete(run);
  }

  #welcome() {
    this.#isOpen = true;
    this.#tries = this.#denials = 0;
    this.onState("open");
    for (const run of this.#runs) this.#ask(run);
  }

  // Start it, or go on behind the last number that was seen.
  #ask(run) {
    if (run.end !== null) return;
    if (run.id === null) this.#say("agent_execute", { ...run.order, idempotencyKey: run.key, requestId: run.key });
    else this.#say("agent_resume", { runId: run.id, after: run.seq, requestId: run.key });
    if (run.isCancelling) this.cancel(run);
  }

  #started(message) {
    const run = this.#of(message);
    run?.receive(message);
    if (run?.isCancelling) this.cancel(run);
  }

  // With a `runId`: it can no longer be followed on this socket, but goes on.
  #refused({ code, error, requestId, runId }) {
    const run = [...this.#runs].find((each) => each.key === requestId);
    if (PASSING.has(code) || runId !== undefined) this.#lost(code);
    else run?.refuse(code, error);
  }

  // A run learns its number from its first message, which names our request.
  #of({ runId, requestId }) {
    return [...this.#runs].find((run) => run.id === runId || (run.id === null && run.key === requestId));
  }

  #say(type, fields = {}) {
    this.#socket.send(JSON.stringify({ type, ...fields }));
  }

  // A connection can be dead without anybody telling: ask, and give up when nothing comes.
  #check() {
    if (this.#socket === null || this.#timer !== null) return;
    if (Date.now() - this.#heardAt > this.patienceMs) this.#lost("silent");
    else if (this.#isOpen) this.#say("ping");
  }

  #lost(reason) {
    this.#drop();
    // A token may have expired on the way; a second, fresh one has not.
    if (HOPELESS.has(reason) || (reason === 4401 && ++this.#denials > 1)) {
      this.onState(`refused (${reason})`);
      for (const run of this.#runs) run.refuse(`closed ${reason}`, "the server does not let this page in");
    } else if (this.#wanted) {
      this.onState(`lost (${reason}), coming back`);
      this.#timer = setTimeout(() => this.#connect(), delayMs(this.#tries++));
    } else {
      this.onState(`closed (${reason})`);
    }
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#isOpen = false;
    if (this.#socket === null) return;
    // Not waited for: in a dead network its end would take minutes to come.
    this.#socket.onclose = this.#socket.onmessage = null;
    this.#socket.close();
    this.#socket = null;
  }
}
