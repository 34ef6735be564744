// How a heavy agent's request is handed to the backend, and its answer handed back.
//
// The request's own bytes go there with the user's own token; for an API key the service's secret and the user's id
// take its place. Where the caller of a backend charges, the run is held for before and charged once accepted.

import { HeavyError, type JsonObject } from "../_shared/errors.ts";
import { parsePrefer, type Preference, waitLine } from "../_shared/preferences.ts";
import { STREAM_HEADERS } from "../_shared/sse.ts";
import { type Hold, NOTHING_HELD, Purse } from "./credits.ts";
import { parsePrice } from "./price.ts";
import { relayed } from "./relay.ts";
import type { Asked, Room } from "./room.ts";

const EXECUTE = "/api/agent/execute";
const RUN = /^\/api\/runs\/([0-9a-f-]{36})$/;
const LONGEST_WAIT_S = 120;
// A backend that has waited in vain must still be able to say so in time.
const TO_ANSWER_S = 10;
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
const HANDED_BACK = [
  "content-type",
  "idempotency-replayed",
  "preference-applied",
  "ratelimit",
  "ratelimit-policy",
  "retry-after",
  "www-authenticate",
];
const UNREACHED = "the backend cannot be reached; try again, with the same Idempotency-Key";
const STRANGE = "the backend gave no answer of its own; try again, with the same Idempotency-Key";

/** Throws `not_configured`, `insufficient_credits` and `backend_failed`; a refusal of the backend's is its answer. */
export async function forward(room: Room, asked: Asked, row: JsonObject): Promise<Response> {
  const { backendUrl } = room.settings;
  if (backendUrl === null) {
    throw new HeavyError(
      "not_configured",
      "RAILWAY_BACKEND_URL: not set, wants the backend heavy agents run on",
    );
  }
  const headers = headersFor(room, asked);
  const credits = parsePrice(row["price"] ?? {}).ceiling;
  const hold = await holdFor(room, asked, credits);
  const call = new Call(room, asked, `${backendUrl}${EXECUTE}`, headers);
  try {
    const answer = await call.answer(hold === NOTHING_HELD);
    if (isAccepted(answer)) await settled(room, hold, credits);
    else await hold.release();
    return await handedBack(room, answer, call);
  } catch (error) {
    await hold.release();
    throw error;
  }
}

function headersFor({ settings }: Room, { request, requestId, caller, key }: Asked): Record<string, string> {
  const accept = request.headers.get("accept");
  const trace = request.headers.get("traceparent") ?? "";
  return {
    "content-type": "application/json",
    "idempotency-key": key,
    "x-request-id": requestId,
    ...(accept === null ? {} : { accept }),
    ...(TRACEPARENT.test(trace) ? { traceparent: trace } : {}),
    ...(caller.token === null
      ? spokenFor(caller.userId, settings.backendSecret)
      : { authorization: `Bearer ${caller.token}` }),
  };
}

function spokenFor(userId: string, secret: string | null): Record<string, string> {
  if (secret === null) {
    const detail = "RAILWAY_BACKEND_SECRET: not set, wants the backend's, to run heavy agents for API keys";
    throw new HeavyError("not_configured", detail);
  }
  return { "x-railway-secret": secret, "x-user-id": userId };
}

function holdFor(room: Room, asked: Asked, credits: number): Promise<Hold> {
  if (room.settings.creditsOwner !== "caller" || credits < 1) return Promise.resolve(NOTHING_HELD);
  return new Purse(room.database, room.world, asked.caller.userId).holdForRun(asked.key, credits);
}

/** The run is accepted, so its caller must learn where it is, whatever becomes of the charge. */
async function settled(room: Room, hold: Hold, credits: number): Promise<void> {
  await hold.settle(credits).catch(() => room.world.log("run_not_charged", { credits }));
}

/** One request to the backend, which may be left at any time: the run does not mind. */
class Call {
  /** The client's own. */
  readonly preference: Preference;
  private readonly leaving = new AbortController();

  constructor(
    private readonly room: Room,
    private readonly asked: Asked,
    private readonly url: string,
    private readonly headers: Record<string, string>,
  ) {
    this.preference = parsePrefer(asked.request.headers.get("prefer"));
  }

  leave(): void {
    this.leaving.abort();
  }

  /** `endsWithClient`: nobody else has to know what came of it. */
  async answer(endsWithClient: boolean): Promise<Response> {
    const { world, limits } = this.room;
    const { signal } = this.leaving;
    const leave = () => this.leave();
    const client = this.asked.request.signal;
    if (endsWithClient) client.addEventListener("abort", leave);
    const timer = setTimeout(leave, this.leftMs(limits.headMs));
    try {
      const { bytes: body } = this.asked;
      const options: RequestInit = {
        method: "POST",
        headers: { ...this.headers, ...this.wait() },
        body,
        signal,
        redirect: "manual",
      };
      const answer = await world.fetch(this.url, options);
      if (isOurs(answer)) return answer;
      world.log("backend_answered_strangely", { status: answer.status });
    } catch {
      throw new HeavyError("backend_failed", UNREACHED);
    } finally {
      clearTimeout(timer);
      // From now on its body tells; some platforms abort the signal when an answer begins.
      client.removeEventListener("abort", leave);
    }
    this.leave();
    throw new HeavyError("backend_failed", STRANGE);
  }

  /** How long the backend is to wait for the run's end. The events of a run begin at once. */
  private wait(): Record<string, string> {
    if (this.asked.wantsStream && !this.preference.respondAsync) return {};
    const leftS = Math.floor(this.leftMs(this.room.limits.headMs) / 1000) - TO_ANSWER_S;
    return { prefer: waitLine(this.preference, Math.max(Math.min(LONGEST_WAIT_S, leftS), 0)) };
  }

  leftMs(limitMs: number): number {
    return Math.max(this.asked.beganMs + limitMs - this.room.world.clock.monotonicMs(), 0);
  }
}

/** Proxies in front of a backend answer, too, when it is away: never with a problem document. */
function isOurs(answer: Response): boolean {
  const type = mediaType(answer);
  if (answer.status >= 400) return type === "application/problem+json";
  return answer.ok && (type === "application/json" || type === "text/event-stream");
}

/** A run that was waited for and failed is a problem, too, but one that has a place. */
function isAccepted(answer: Response): boolean {
  return answer.ok || RUN.test(answer.headers.get("location") ?? "");
}

async function handedBack(room: Room, answer: Response, call: Call): Promise<Response> {
  const origin = room.settings.backendUrl ?? "";
  const headers = new Headers();
  for (const name of HANDED_BACK) {
    const value = answer.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  // The backend is told how long to wait in any case.
  const { respondAsync, waitS } = call.preference;
  if (!respondAsync && waitS === null) headers.delete("preference-applied");
  const location = answer.headers.get("location");
  if (location !== null) headers.set("location", new URL(location, origin).href);
  if (mediaType(answer) === "text/event-stream" && answer.body !== null) {
    for (const [name, value] of Object.entries(STREAM_HEADERS)) headers.set(name, value);
    const runId = RUN.exec(location ?? "")?.[1] ?? "";
    const eventsUrl = `${origin}/api/runs/${runId}/events`;
    const leftMs = call.leftMs(room.limits.forwardMs);
    const body = relayed(answer.body, { runId, eventsUrl, leftMs });
    return new Response(body, { status: answer.status, headers });
  }
  const body = answer.status === 202 ? await accepted(answer, origin) : answer.body;
  return new Response(body, { status: answer.status, headers });
}

/** Where the run goes on, for somebody who does not know the backend. */
async function accepted(answer: Response, origin: string): Promise<string> {
  const document = await answer.json() as JsonObject;
  const eventsUrl = new URL(String(document["eventsUrl"]), origin).href;
  const wsUrl = new URL(String(document["wsUrl"]), origin.replace(/^http/, "ws")).href;
  return JSON.stringify({ ...document, eventsUrl, wsUrl });
}

function mediaType(answer: Response): string {
  return (answer.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}
