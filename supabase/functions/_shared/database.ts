// The project's database as functions see it: our SQL functions, called through PostgREST with the secret key.
//
// What our functions refuse comes back as the error they name (`foundation/db/mapping.py`); everything else is
// the database not being there. A call is never repeated here: whoever may do that knows the key that makes it safe.

import {
  type Code,
  databaseUnavailable,
  HeavyError,
  insufficientCredits,
  internalError,
  invalidBody,
  type JsonObject,
  rateLimited,
} from "./errors.ts";
import type { World } from "./world.ts";

const CALL_MS = 10_000;
const REFUSED = /^PT[45][0-9]{2}$/;
const SENTENCES: Readonly<Partial<Record<Code, string>>> = {
  agent_not_found: "there is no such agent, or it is not yours to run",
  invalid_request: "the request cannot be carried out as it is",
  key_conflict: "this Idempotency-Key was used with another body; use a new key",
  not_configured: "this is not configured on the server",
};

export class Database {
  private readonly rpc: string;
  private readonly headers: Record<string, string>;

  /** `key`: a key of the new kind goes into `apikey` alone, as it is no JWT. */
  constructor(url: string, key: string, private readonly world: World) {
    this.rpc = `${url}/rest/v1/rpc/`;
    const isJwt = key.split(".").length === 3;
    this.headers = {
      "apikey": key,
      "content-type": "application/json",
      ...(isJwt ? { "authorization": `Bearer ${key}` } : {}),
    };
  }

  /** The function's JSON, whose shape stands at the function. */
  async call<T>(name: string, args: JsonObject): Promise<T> {
    const { status, text } = await this.post(name, JSON.stringify(args));
    const answer = parsed(text);
    if (status < 300 && answer !== undefined) return answer as T;
    const error = errorOf(answer);
    if (error.code === "database_unavailable") this.world.log("database_call_failed", { name, status });
    throw error;
  }

  private async post(name: string, body: string): Promise<{ status: number; text: string }> {
    try {
      const signal = AbortSignal.timeout(CALL_MS);
      const options: RequestInit = { method: "POST", headers: this.headers, body, signal, redirect: "error" };
      const answer = await this.world.fetch(this.rpc + name, options);
      return { status: answer.status, text: await answer.text() };
    } catch {
      this.world.log("database_not_reached", { name });
      throw databaseUnavailable();
    }
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a failed statement stands for; its text holds no SQL, host or credential. */
function errorOf(answer: unknown): HeavyError {
  const { code, message, details } = (answer ?? {}) as Record<string, unknown>;
  if (typeof code !== "string" || typeof message !== "string" || !REFUSED.test(code)) {
    return databaseUnavailable();
  }
  return refusal(message, factsIn(details)) ?? internalError();
}

function refusal(code: string, facts: Record<string, unknown>): HeavyError | null {
  const { needed, available, retryAfterS, policy, quota, detail, field } = facts;
  if (code === "insufficient_credits" && isCount(needed) && isCount(available)) {
    return insufficientCredits({ needed, available });
  }
  if (code === "rate_limited" && isCount(retryAfterS) && isCount(quota)) {
    return rateLimited({ retryAfterS, policy: String(policy), quota });
  }
  if (code === "invalid_body") return invalidBody([{ field: String(field ?? ""), message: String(detail) }]);
  const sentence = SENTENCES[code as Code];
  if (sentence === undefined) return null;
  return new HeavyError(code as Code, typeof detail === "string" ? detail : sentence);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value);
}

function factsIn(details: unknown): Record<string, unknown> {
  const facts = typeof details === "string" ? parsed(details) : null;
  return typeof facts === "object" && facts !== null ? facts as Record<string, unknown> : {};
}
