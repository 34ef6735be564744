// Where a run goes: answered here, forwarded to a backend, or refused; and why (`routing/decision.py`).
//
// Pure. `tests/golden/routing.json` holds both languages to one table. What is wrong first is what the caller
// hears: credits, the plan's limit, the agent, a missing backend. A `railway_url` is written by the agent's
// owner, so its text is compared and never used.

import {
  databaseUnavailable,
  HeavyError,
  insufficientCredits,
  type LimitReached,
  rateLimited,
} from "./errors.ts";

const LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
// Without the flag `u`, ignoring case does not take the Kelvin sign for a k.
const ORIGIN = new RegExp(`^https://(${LABEL}(?:\\.${LABEL})*)\\.?(?::([1-9][0-9]{0,4}))?/?$`, "i");
const MAX_HOST_CHARS = 253;
const MAX_PORT = 65535;
const HTTPS_PORT = 443;

export type Decider = "edge" | "backend";

/** The reason as a word for logs, the same in both languages. */
export type Why =
  | "light_agent"
  | "heavy_agent"
  | "own_backend"
  | "backend_not_allowed"
  | "credits_unknown"
  | "credits_short"
  | "limit_unknown"
  | "limit_reached"
  | "agent_unknown"
  | "no_backend";

export type PlanLimit = "within" | "unknown" | LimitReached;

/** What of an agent's row decides; `railwayUrl` null or empty: it names no backend of its own. */
export interface FoundAgent {
  isPublished: boolean;
  isOwned: boolean;
  isHeavy: boolean;
  railwayUrl: string | null;
}

/**
 * `availableCredits`: null when the database did not say. `neededCredits`: the least there must be; 0 where
 * nobody charges. `allowedBackends`: origins as the operator wrote them.
 */
export interface Question {
  decider: Decider;
  availableCredits: number | null;
  neededCredits: number;
  limit: PlanLimit;
  agent: FoundAgent | null;
  allowedBackends: readonly string[];
  hasBackend: boolean;
}

export type Refuse = { to: "refuse"; why: Why; error: HeavyError };
export type Decision =
  | { to: "edge"; why: Why }
  | { to: "heavy"; why: Why }
  | { to: "remote"; why: Why; origin: string }
  | Refuse;

/** Never throws, whatever the texts in `question` are. */
export function decide(question: Question): Decision {
  const { agent } = question;
  const refusal = credits(question) ?? limit(question.limit);
  if (refusal !== null) return refusal;
  if (agent === null || !(agent.isPublished || agent.isOwned)) {
    const error = new HeavyError("agent_not_found", "no such agent, or it is neither published nor yours");
    return { to: "refuse", why: "agent_unknown", error };
  }
  return agent.isHeavy ? heavy(question, agent.railwayUrl) : { to: "edge", why: "light_agent" };
}

/** `address` as its origin is always spelt; null unless it is https, a name, perhaps a port, no more. */
export function readOrigin(address: string): string | null {
  const match = ORIGIN.exec(address);
  if (match === null) return null;
  const host = (match[1] ?? "").toLowerCase();
  const port = Number(match[2] ?? HTTPS_PORT);
  if (host.length > MAX_HOST_CHARS || port > MAX_PORT) return null;
  return port === HTTPS_PORT ? `https://${host}` : `https://${host}:${port}`;
}

function credits({ neededCredits: needed, availableCredits: available }: Question): Refuse | null {
  if (needed < 1) return null;
  if (available === null) return unknown("credits_unknown");
  if (available >= needed) return null;
  return { to: "refuse", why: "credits_short", error: insufficientCredits({ needed, available }) };
}

function limit(reached: PlanLimit): Refuse | null {
  if (reached === "within") return null;
  if (reached === "unknown") return unknown("limit_unknown");
  return { to: "refuse", why: "limit_reached", error: rateLimited(reached) };
}

/** What cannot be asked is not taken for a yes. */
function unknown(why: Why): Refuse {
  return { to: "refuse", why, error: databaseUnavailable() };
}

function heavy(question: Question, railwayUrl: string | null): Decision {
  const own = railwayUrl ? readOrigin(railwayUrl) : null;
  if (own !== null && question.allowedBackends.some((each) => readOrigin(each) === own)) {
    return { to: "remote", why: "own_backend", origin: own };
  }
  if (question.decider === "edge" && !question.hasBackend) {
    const error = new HeavyError(
      "not_configured",
      "heavy agents need a backend, and none is configured here",
    );
    return { to: "refuse", why: "no_backend", error };
  }
  return { to: "heavy", why: railwayUrl ? "backend_not_allowed" : "heavy_agent" };
}
