// How a run's stream is passed through: event by event, for a while, then with word of where it goes on.
//
// What leaves here is always whole events. When the time is over, or the backend breaks off before the run's last
// event, `event: reconnect` tells where to go on from the last id. A client that leaves ends the forwarding, and
// not the run.

import { goodbye } from "../_shared/sse.ts";

const RECONNECT = "event: reconnect\n";
const LAST = new Set(["done", "error", "reconnect"]);

/** `eventsUrl` is absolute. */
export interface Passage {
  runId: string;
  eventsUrl: string;
  leftMs: number;
}

export function relayed(stream: ReadableStream<Uint8Array>, passage: Passage): ReadableStream<Uint8Array> {
  const relay = new Relay(stream, passage);
  return new ReadableStream({
    start: (controller) => relay.begin(controller),
    pull: (controller) => relay.pass(controller),
    cancel: () => relay.leave(),
  });
}

type Controller = ReadableStreamDefaultController<Uint8Array>;

class Relay {
  private readonly reader: ReadableStreamDefaultReader<string>;
  private readonly encoder = new TextEncoder();
  private readonly leftMs: number;
  private readonly goodbye: string;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isOver = false;
  private rest = "";
  private last = "";

  constructor(stream: ReadableStream<Uint8Array>, passage: Passage) {
    this.reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    this.leftMs = passage.leftMs;
    this.goodbye = goodbye(passage.runId, passage.eventsUrl);
  }

  begin(controller: Controller): void {
    this.timer = setTimeout(() => this.end(controller, this.goodbye), this.leftMs);
  }

  /** Hand on the next whole events. */
  async pass(controller: Controller): Promise<void> {
    try {
      while (!this.isOver) {
        const { done, value = "" } = await this.reader.read();
        if (done) return this.end(controller, isLast(this.last) ? "" : this.goodbye);
        const events = this.wholeIn(value);
        if (this.isOver || events === "") continue;
        return controller.enqueue(this.encoder.encode(events));
      }
    } catch {
      this.end(controller, this.goodbye);
    }
  }

  leave(): void {
    this.isOver = true;
    clearTimeout(this.timer);
    // Which ends the request to the backend, unless that is broken already.
    this.reader.cancel().catch(() => undefined);
  }

  private end(controller: Controller, word: string): void {
    if (this.isOver) return;
    this.leave();
    if (word !== "") controller.enqueue(this.encoder.encode(word));
    controller.close();
  }

  private wholeIn(value: string): string {
    const text = this.rest + value;
    const end = text.lastIndexOf("\n\n");
    const cut = end < 0 ? 0 : end + 2;
    this.rest = text.slice(cut);
    const blocks = text.slice(0, cut).split(/(?<=\n\n)/);
    this.last = blocks.findLast((each) => each.includes("data:")) ?? this.last;
    // The backend says goodbye with a path of its own, which means nothing here.
    return blocks.map((each) => each.startsWith(RECONNECT) ? this.goodbye : each).join("");
  }
}

/** Whether nothing comes after this event. */
function isLast(block: string): boolean {
  const data = /^data: (.*)$/m.exec(block)?.[1] ?? "{}";
  try {
    return LAST.has(JSON.parse(data).type);
  } catch {
    return false;
  }
}
