// Everything that can go wrong, as the backend names it (`foundation/errors.py`): a code is API and never changes.

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

const STATUSES = {
  invalid_request: 400,
  conflicting_credentials: 400,
  invalid_token: 401,
  insufficient_credits: 402,
  origin_not_allowed: 403,
  agent_not_found: 404,
  method_not_allowed: 405,
  too_slow: 408,
  too_large: 413,
  unsupported_media_type: 415,
  invalid_body: 422,
  key_conflict: 422,
  rate_limited: 429,
  internal_error: 500,
  backend_failed: 502,
  not_configured: 503,
  database_unavailable: 503,
  model_unavailable: 503,
} as const;

export type Code = keyof typeof STATUSES;
export type HeaderLines = Readonly<Record<string, string>>;

const MOMENTARY: ReadonlySet<Code> = new Set(["database_unavailable", "model_unavailable"]);
const NO_ANSWER = "the database did not answer; try again";
const OUR_FAULT = "something went wrong on our side";

/** `detail` is for people and names the fix; `facts` are extra members of the problem document. */
export class HeavyError extends Error {
  readonly status: number;
  readonly headers: HeaderLines;

  constructor(
    readonly code: Code,
    readonly detail: string,
    readonly facts: JsonObject = {},
    headers: HeaderLines = {},
  ) {
    super(detail);
    this.name = "HeavyError";
    this.status = STATUSES[code];
    this.headers = MOMENTARY.has(code) ? { "Retry-After": "2", ...headers } : headers;
  }
}

/** `field` is a path in wire names, empty for the body itself; `message` says what would be right. */
export interface FieldError {
  field: string;
  message: string;
}

export function invalidToken(detail: string): HeavyError {
  return new HeavyError("invalid_token", detail, {}, { "WWW-Authenticate": 'Bearer error="invalid_token"' });
}

/** Nothing was offered at all. Source: RFC 6750, section 3.1. */
export function missingCredentials(): HeavyError {
  const detail = "send Authorization: Bearer with the access token, or x-api-key";
  return new HeavyError("invalid_token", detail, {}, { "WWW-Authenticate": "Bearer" });
}

/** Not a 401: a client that is told its good token is bad signs its user out. */
export function keysUnavailable(): HeavyError {
  const detail = "the project's signing keys cannot be fetched right now; try again in a moment";
  return new HeavyError("backend_failed", detail, {}, { "Retry-After": "5" });
}

export function insufficientCredits(facts: { needed: number; available: number }): HeavyError {
  const detail = `needs ${facts.needed} credits, ${facts.available} available`;
  return new HeavyError("insufficient_credits", detail, { ...facts });
}

export interface LimitReached {
  retryAfterS: number;
  policy: string;
  quota: number;
}

export function rateLimited({ retryAfterS, policy, quota }: LimitReached): HeavyError {
  const detail = `the limit of ${policy} is reached; try again in ${retryAfterS} s`;
  return new HeavyError("rate_limited", detail, { retryAfter: retryAfterS, policy }, {
    "Retry-After": `${retryAfterS}`,
    "RateLimit": `"rate_limited";r=0;t=${retryAfterS}`,
    "RateLimit-Policy": `"rate_limited";q=${quota}`,
  });
}

export function invalidBody(errors: FieldError[]): HeavyError {
  const detail = errors.slice(0, 3).map((each) => `${each.field || "body"}: ${each.message}`).join("; ");
  return new HeavyError("invalid_body", detail, { errors: errors.map((each) => ({ ...each })) });
}

export function tooLarge(limitBytes: number): HeavyError {
  const detail = `the body is larger than the ${limitBytes} bytes taken here; send less`;
  return new HeavyError("too_large", detail, { limitBytes });
}

export function databaseUnavailable(): HeavyError {
  return new HeavyError("database_unavailable", NO_ANSWER);
}

export function internalError(): HeavyError {
  return new HeavyError("internal_error", OUR_FAULT);
}
