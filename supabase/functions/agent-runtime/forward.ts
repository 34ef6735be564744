// How a heavy agent's request is handed to the backend, and its answer handed back.
//
// The request's own bytes go there with the user's own token; for an API key the service's secret and the user's id
// take its place. Where the caller of a backend charges, the run is held for before and charged once accepted.

import { HeavyError, type JsonObject } from "../_shared/errors.ts";
import { STREAM_HEADERS } from "../_shared/sse.ts";
import { Call, isAccepted, isRefused, mediaType, RUN } from "./call.ts";
import { type Hold, NOTHING_HELD, Purse } from "./credits.ts";
import { parsePrice } from "./price.ts";
import { relayed } from "./relay.ts";
import type { Asked, Room } from "./room.ts";

const EXECUTE = "/api/agent/execute";
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
  const working = answerOf(room, call, { hold, credits });
  // Whoever has left, the platform waits until the run is paid for.
  if (hold !== NOTHING_HELD) room.world.background(working.catch(() => undefined));
  return await handedBack(room, await working, call);
}

/**
 * The backend's answer, once the run is charged that it has accepted. What is held is released only when there is no
 * run for certain, or one that is paid; while nobody knows it stays open, so that the request that comes again pays
 * with it.
 */
async function answerOf(room: Room, call: Call, held: { hold: Hold; credits: number }): Promise<Response> {
  const { hold, credits } = held;
  const answer = await call.answer(hold === NOTHING_HELD);
  if (isAccepted(answer) && !isPaid(answer)) await settled(room, hold, credits);
  else if (isAccepted(answer) || await isRefused(answer)) await hold.release();
  return answer;
}

/** A key may come again whose run was made while the backend charged. */
function isPaid(answer: Response): boolean {
  return answer.headers.get("x-credits-owner") === "backend";
}

// The backend refuses what both would charge for, or nobody.
function headersFor({ settings }: Room, { request, requestId, caller, key }: Asked): Record<string, string> {
  const accept = request.headers.get("accept");
  const trace = request.headers.get("traceparent") ?? "";
  return {
    "content-type": "application/json",
    "idempotency-key": key,
    "x-request-id": requestId,
    "x-credits-owner": settings.creditsOwner,
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
