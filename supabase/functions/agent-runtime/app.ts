// The whole function as one: a request in, an answer out. It reaches for nothing that is not handed in.
//
//     1  400, 422  the request cannot be read
//     2  401       nobody is proved to ask
//     3  402       credits              4  429  the plan's limit      503 when nobody knows
//     5  404       the agent            6  decided, as the backend decides
//     7  heavy     handed to the backend
//     8  light     answered here

import { readBody } from "../_shared/bodies.ts";
import { Cors } from "../_shared/cors.ts";
import { HeavyError, internalError } from "../_shared/errors.ts";
import { accepts, parseKey } from "../_shared/preferences.ts";
import { problem } from "../_shared/problem.ts";
import type { World } from "../_shared/world.ts";
import { streamed, whole } from "./answers.ts";
import { readExecuteBody } from "./execute_body.ts";
import { forward } from "./forward.ts";
import { begin } from "./light.ts";
import { look } from "./look.ts";
import { type Asked, LIMITS, type Limits, openRoom, type Room } from "./room.ts";

const HARMLESS = /^[A-Za-z0-9._:-]{1,128}$/;
// The platform gives a function 256 MB for all it does at once, and a body is there several times over.
const MAX_BYTES = 10 * 1024 * 1024;
const GUARDS = { "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff" };

export type App = (request: Request) => Promise<Response>;

export function createApp(world: World, limits: Limits = LIMITS): App {
  let room: Room | null = null;
  return async (request) => {
    const requestId = requestIdOf(request);
    const began = world.clock.monotonicMs();
    const answer = await safely(world, requestId, () => {
      room ??= openRoom(world, limits);
      return handle(room, request, requestId);
    });
    const tookMs = Math.round(world.clock.monotonicMs() - began);
    world.log("request", { requestId, status: answer.status, tookMs });
    return finished(answer, request, requestId, new Cors(room?.settings.allowedOrigins ?? []));
  };
}

async function handle(room: Room, request: Request, requestId: string): Promise<Response> {
  const cors = new Cors(room.settings.allowedOrigins);
  if (cors.isPreflight(request)) return cors.preflight(request);
  if (request.method !== "POST") {
    const detail = "this path takes other methods; see the Allow header";
    throw new HeavyError("method_not_allowed", detail, {}, { Allow: "POST, OPTIONS" });
  }
  const asked = await read(room, request, requestId);
  room.expiry?.visit();
  const { decision, row } = await look(room, asked);
  room.world.log("decided", { requestId, to: decision.to, why: decision.why });
  if (decision.to === "refuse") throw decision.error;
  // A backend of the agent's own is reached through ours, which keeps the run.
  if (decision.to !== "edge") return await forward(room, asked, row ?? {});
  const work = await begin(room, asked, row ?? {});
  return asked.wantsStream ? streamed(room, asked, work) : await whole(room, asked, work);
}

async function read(room: Room, request: Request, requestId: string): Promise<Asked> {
  const beganMs = room.world.clock.monotonicMs();
  const key = parseKey(request.headers.get("idempotency-key")) ?? crypto.randomUUID();
  const bounds = { limitBytes: MAX_BYTES, withinMs: room.limits.bodyMs };
  const { bytes, document } = await readBody(request, bounds);
  const body = readExecuteBody(document);
  const caller = await room.authenticator.authenticate(request.headers);
  const wantsStream = body.stream || accepts("text/event-stream", request.headers.get("accept"));
  return { request, requestId, caller, body, bytes, key, wantsStream, beganMs };
}

async function safely(world: World, requestId: string, work: () => Promise<Response>): Promise<Response> {
  try {
    return await work();
  } catch (thrown) {
    const error = thrown instanceof HeavyError ? thrown : internalError();
    const kind = thrown instanceof Error ? thrown.name : "unknown";
    world.log("refused", { requestId, code: error.code, kind });
    return problem(error, requestId);
  }
}

function finished(answer: Response, request: Request, requestId: string, cors: Cors): Response {
  for (const [name, value] of Object.entries(GUARDS)) answer.headers.set(name, value);
  answer.headers.set("X-Request-Id", requestId);
  cors.mark(request, answer.headers);
  return answer;
}

/** The caller's own name for the request if it is harmless, else ours. */
function requestIdOf(request: Request): string {
  const given = request.headers.get("x-request-id") ?? "";
  return HARMLESS.test(given) ? given : crypto.randomUUID().replaceAll("-", "").slice(0, 16);
}
