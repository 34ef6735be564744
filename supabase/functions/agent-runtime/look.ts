// What decides where a request goes, asked of the database once: credits, the agent, and the plan's limit.

import { decide, type Decision, type FoundAgent, type PlanLimit } from "../_shared/decision.ts";
import { HeavyError, type JsonObject, type LimitReached } from "../_shared/errors.ts";
import type { Asked, Room } from "./room.ts";

/** `row` is the agent's as `switchyard_agents_route` tells it; null when there is none for this user. */
export interface Looked {
  decision: Decision;
  row: JsonObject | null;
}

interface Route {
  available: number;
  agent: JsonObject | null;
}

export async function look(room: Room, asked: Asked): Promise<Looked> {
  const route = await routeOf(room, asked);
  const row = route?.agent ?? null;
  const agent = row === null ? null : foundIn(row);
  const available = route?.available ?? null;
  const needed = room.settings.creditsOwner === "off" || mayJoin(asked, agent) ? 0 : neededFor(row);
  const mayAsk = needed === 0 || (available !== null && available >= needed);
  const limit = route === null ? "unknown" : mayAsk ? await limitOf(room, asked, agent) : "within";
  const decision = decide({
    decider: "edge",
    availableCredits: available,
    neededCredits: needed,
    limit,
    agent,
    allowedBackends: room.settings.allowedBackends,
    hasBackend: room.settings.backendUrl !== null,
  });
  return { decision, row };
}

/** null when the database did not say; throws what it refuses. */
async function routeOf(room: Room, { caller, body }: Asked): Promise<Route | null> {
  const args = { p_user_id: caller.userId, p_agent_id: body.agentId };
  try {
    return await room.database.call<Route>("switchyard_agents_route", args);
  } catch (error) {
    if (error instanceof HeavyError && error.code === "database_unavailable") return null;
    throw error;
  }
}

function foundIn(row: JsonObject): FoundAgent {
  return {
    isPublished: row["is_published"] === true,
    isOwned: row["is_owned"] === true,
    isHeavy: row["is_heavy"] === true,
    railwayUrl: typeof row["railway_url"] === "string" ? row["railway_url"] : null,
  };
}

/** The run of this key may be there already, and be what the last credits were for: who charges for it knows. */
function mayJoin({ request }: Asked, agent: FoundAgent | null): boolean {
  return agent?.isHeavy === true && request.headers.has("idempotency-key");
}

/** Any credit will do here: how many are held is another question. An agent that is free needs none. */
function neededFor(row: JsonObject | null): number {
  const price = row?.["price"] as JsonObject | null | undefined;
  return price?.["ceiling"] === 0 || (price?.["flat"] === 0 && price["ceiling"] === undefined) ? 0 : 1;
}

/** A run is counted by the backend, when it is accepted. */
async function limitOf(room: Room, asked: Asked, agent: FoundAgent | null): Promise<PlanLimit> {
  if (agent?.isHeavy) return "within";
  try {
    await room.database.call("switchyard_limits_take", { p_user_id: asked.caller.userId });
    return "within";
  } catch (error) {
    if (error instanceof HeavyError && error.code === "rate_limited") return reachedIn(error);
    return "unknown";
  }
}

function reachedIn({ facts, headers }: HeavyError): LimitReached {
  const quota = Number(/;q=([0-9]+)/.exec(headers["RateLimit-Policy"] ?? "")?.[1] ?? 0);
  return { retryAfterS: Number(facts["retryAfter"]), policy: String(facts["policy"]), quota };
}
