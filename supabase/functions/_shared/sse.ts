// Server-sent events, written and read. Source: WHATWG HTML, section 9.2 "Server-sent events".

import type { JsonObject } from "./errors.ts";

// Milliseconds a browser waits before it comes back.
export const HELLO = "retry: 1000\n\n";
export const PING = ": ping\n\n";
export const STREAM_HEADERS: Readonly<Record<string, string>> = {
  "Content-Type": "text/event-stream; charset=utf-8",
  // Proxies that would collect the stream first are told not to.
  "X-Accel-Buffering": "no",
};
const MAX_LINE_CHARS = 1_000_000;

/** JSON escapes line breaks, so the message is always one line. */
export function frame(seq: number, message: JsonObject): string {
  return `id: ${seq}\ndata: ${JSON.stringify(message)}\n\n`;
}

/** The stream ends before the run does; the client goes on at `eventsUrl` from its last id. */
export function goodbye(runId: string, eventsUrl: string): string {
  return `event: reconnect\ndata: ${JSON.stringify({ type: "reconnect", runId, eventsUrl })}\n\n`;
}

/** A line no provider writes. */
export class LineTooLong extends Error {}

/** The data of events, however their bytes were split. */
export class Lines {
  private rest = "";
  private data: string[] = [];

  /** The data of the events that `text` completes. */
  feed(text: string): string[] {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?=[^])/);
    this.rest = lines.pop() ?? "";
    if (this.rest.length > MAX_LINE_CHARS) throw new LineTooLong();
    return lines.flatMap((line) => this.take(line));
  }

  /** The event that no empty line has ended; half a line is dropped. */
  end(): string[] {
    return this.take("");
  }

  private take(line: string): string[] {
    if (line === "" && this.data.length > 0) {
      const event = this.data.join("\n");
      this.data = [];
      return [event];
    }
    if (line.startsWith("data:")) this.data.push(line.slice(line.startsWith("data: ") ? 6 : 5));
    return [];
  }
}
