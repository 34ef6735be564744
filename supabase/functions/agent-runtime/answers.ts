// How a light agent's answer is sent: whole as JSON, or as the events a run has, but without a run to resume.

import { internalError, type JsonObject } from "../_shared/errors.ts";
import { frame, HELLO, PING, STREAM_HEADERS } from "../_shared/sse.ts";
import { NotAnswered, type Work } from "./light.ts";
import type { Asked, Room } from "./room.ts";

// As a chat run names its only turn.
const STEP = "turn-1";

/** The work goes on without the client, so that what was bought is paid for. */
export async function whole(room: Room, asked: Asked, work: Work): Promise<Response> {
  const working = work(() => undefined);
  room.world.background(working.catch(() => undefined));
  try {
    return Response.json({ ...await working, agentId: asked.body.agentId, status: "succeeded" });
  } catch (thrown) {
    throw thrown instanceof NotAnswered ? thrown.error : thrown;
  }
}

export function streamed(room: Room, asked: Asked, work: Work): Response {
  const events = new Events(room.limits.pingMs);
  events.say("started", { agentId: asked.body.agentId });
  const working = tellAll(events, work).finally(() => events.end());
  room.world.background(working);
  return new Response(events.body, { headers: STREAM_HEADERS });
}

async function tellAll(events: Events, work: Work): Promise<void> {
  let partial = "";
  try {
    const answer = await work((content) => {
      partial += content;
      events.say("chunk", { content, step: STEP });
    });
    events.say("done", answer);
  } catch (thrown) {
    const { error, creditsUsed } = thrown instanceof NotAnswered
      ? thrown
      : new NotAnswered(internalError(), 0);
    events.say("error", { error: error.detail, code: error.code, response: partial || null, creditsUsed });
  }
}

/** Numbered from 1; to a client that has left nothing is said, and nobody minds. */
class Events {
  readonly body: ReadableStream<Uint8Array>;
  private readonly encoder = new TextEncoder();
  private controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private seq = 0;

  constructor(private readonly pingMs: number) {
    this.body = new ReadableStream({
      start: (controller) => {
        this.controller = controller;
        this.write(HELLO);
      },
      cancel: () => this.leave(),
    });
  }

  say(type: string, fields: JsonObject): void {
    this.seq += 1;
    this.write(frame(this.seq, { type, seq: this.seq, ...fields }));
  }

  end(): void {
    this.controller?.close();
    this.leave();
  }

  private leave(): void {
    clearTimeout(this.timer);
    this.controller = null;
  }

  /** Every silence is broken, so that nobody between takes the connection for dead. */
  private write(text: string): void {
    if (this.controller === null) return;
    this.controller.enqueue(this.encoder.encode(text));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.write(PING), this.pingMs);
  }
}
