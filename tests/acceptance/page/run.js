// What is known of one run: its text, how far it has come, and how it ended. No network in here.

// The socket's names for what the stream calls by the second word.
const NAMES = {
  agent_execution_started: "started",
  agent_execution_complete: "done",
  agent_execution_error: "error",
};

export class Run extends EventTarget {
  // Sent with every try to start it: however often that is, it becomes one run.
  key = crypto.randomUUID();
  id = null;
  seq = 0; // the last number seen: where to go on
  end = null; // "done", or the code of what went wrong
  detail = "";
  isCancelling = false;
  #chunks = [];

  constructor(agentId, question) {
    super();
    this.order = { agentId, messages: [{ role: "user", content: question }] };
  }

  get text() {
    return this.#chunks.map((chunk) => chunk.content).join("");
  }

  // A message of either transport. One that was seen before the network was lost changes nothing.
  receive(message) {
    if (this.end !== null || message.seq <= this.seq) return;
    this.id = message.runId;
    this.seq = message.seq;
    const type = NAMES[message.type] ?? message.type.replace("agent_", "");
    if (type === "chunk") {
      this.#chunks.push(message);
    } else if (type === "retry") {
      // A step begins again: its text does, too.
      this.#chunks = this.#chunks.filter(
        (chunk) => chunk.step !== message.step || chunk.seq <= message.discardAfter,
      );
    } else if (type === "done") {
      this.#chunks = [{ content: message.response }];
      this.end = "done";
    } else if (type === "error") {
      this.end = message.code;
      this.detail = message.error;
    }
    this.#changed();
  }

  accept(id) {
    this.id = id;
    this.#changed();
  }

  cancel() {
    this.isCancelling = true;
    this.#changed();
  }

  // The server will not have it: no agent, no credits, not yours.
  refuse(code, detail) {
    this.end = code;
    this.detail = detail;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
