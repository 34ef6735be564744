// Runs over plain EventSource: started with fetch, then followed by the browser, which comes back by itself.

import { delayMs } from "./backoff.js";

class Refusal extends Error {
  constructor(status, { code = `http_${status}`, detail = "" }) {
    super(detail);
    this.code = code;
    this.isPassing = status === 429 || status >= 500;
  }
}

export class Stream {
  #followed = new Map(); // run → what ends its reading

  // `token` is asked for a fresh token each time. Pings are not shown to a page, so `patienceMs` is long: who has
  // nothing to tell for so long is asked again, at no loss.
  constructor({ server, token, onState, patienceMs = 60_000 }) {
    Object.assign(this, { server, token, onState, patienceMs });
  }

  async follow(run) {
    const mine = { stop() {} };
    const isMine = () => this.#followed.get(run) === mine && run.end === null;
    this.#followed.set(run, mine);
    let tries = 0;
    for (;;) {
      const before = run.seq;
      try {
        await this.#once(run, mine, isMine);
      } catch (error) {
        if (error instanceof Refusal && !error.isPassing) run.refuse(error.code, error.message);
      }
      if (!isMine()) break;
      tries = run.seq > before ? 0 : tries + 1;
      this.onState("lost, coming back");
      await new Promise((wake) => setTimeout(wake, delayMs(tries)));
    }
    if (this.#followed.get(run) === mine) this.#followed.delete(run);
    if (this.#followed.size === 0) this.onState("closed");
  }

  leave(run) {
    const left = this.#followed.get(run);
    this.#followed.delete(run);
    left?.stop();
  }

  async cancel(run) {
    for (let tries = 0; run.id !== null && run.end === null; tries++) {
      try {
        return await this.#ask("POST", `/api/runs/${run.id}/cancel`);
      } catch (error) {
        if (error instanceof Refusal && !error.isPassing) return undefined;
        await new Promise((wake) => setTimeout(wake, delayMs(tries)));
      }
    }
    return undefined;
  }

  async #once(run, mine, isMine) {
    if (run.id === null) {
      const headers = { Prefer: "respond-async", "Idempotency-Key": run.key };
      run.accept((await this.#ask("POST", "/api/agent/execute", { headers, body: run.order })).runId);
    }
    if (run.isCancelling) await this.#ask("POST", `/api/runs/${run.id}/cancel`);
    const token = await this.token();
    if (!isMine()) return;
    await this.#read(run, mine, token);
    // EventSource does not tell why it was refused; the same question over fetch does.
    if (isMine()) await this.#ask("GET", `/api/runs/${run.id}/events?after=${run.seq}&limit=1`);
  }

  // Until the browser gives up: it was refused, or told with 204 that there is nothing more.
  #read(run, mine, token) {
    this.onState("connecting");
    // It can send no header, so the token goes into the address; `Last-Event-ID` counts before `after`.
    const where = new URLSearchParams({ after: run.seq, token });
    const source = new EventSource(`${this.server}/api/runs/${run.id}/events?${where}`);
    return new Promise((resolve) => {
      let timer = null;
      mine.stop = () => {
        clearTimeout(timer);
        source.close();
        resolve();
      };
      const listen = () => {
        clearTimeout(timer);
        timer = setTimeout(mine.stop, this.patienceMs);
      };
      source.onopen = () => this.onState("open");
      source.onmessage = (event) => {
        listen();
        run.receive(JSON.parse(event.data));
      };
      source.onerror = () => {
        if (source.readyState === EventSource.CLOSED) return mine.stop();
        listen();
        if (run.end === null) this.onState("lost, the browser is coming back");
      };
      listen();
    });
  }

  // An answer's document. Who does not answer in time is a lost network, as a TypeError of fetch is.
  async #ask(method, path, { headers = {}, body } = {}) {
    const answer = await fetch(this.server + path, {
      method,
      headers: {
        ...headers,
        Accept: "application/json",
        Authorization: `Bearer ${await this.token()}`,
        ...(body && { "Content-Type": "application/json" }),
      },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(this.patienceMs),
    });
    const document = answer.status === 204 ? {} : await answer.json();
    if (!answer.ok) throw new Refusal(answer.status, document);
    return document;
  }
}
