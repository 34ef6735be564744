// Which pages in which browsers may call, as the backend lets them (`routing/middleware/cors.py`).
//
// Credentials travel in headers that a page sets itself; cookies are never allowed.

import { HeavyError } from "./errors.ts";

const METHODS = "POST, OPTIONS";
// What supabase-js may send is among them: the second half of this list.
const TAKEN = [
  "Accept",
  "Accept-Language",
  "Authorization",
  "Cache-Control",
  "Content-Language",
  "Content-Type",
  "Idempotency-Key",
  "Last-Event-ID",
  "Prefer",
  "X-Request-Id",
  "x-api-key",
  "apikey",
  "baggage",
  "traceparent",
  "tracestate",
  "x-client-info",
  "x-region",
  "x-retry-count",
];
const SHOWN = [
  "Idempotency-Replayed",
  "Location",
  "Preference-Applied",
  "RateLimit",
  "RateLimit-Policy",
  "Retry-After",
  "WWW-Authenticate",
  "X-Request-Id",
].join(", ");
const LASTS_S = "600";

/** `origins` are whole origins, `https://app.example`; `*` lets every page call. */
export class Cors {
  private readonly isOpen: boolean;

  constructor(private readonly origins: readonly string[]) {
    this.isOpen = origins.includes("*");
  }

  isPreflight(request: Request): boolean {
    return request.method === "OPTIONS" && request.headers.has("access-control-request-method");
  }

  /** Throws `origin_not_allowed` for a page, a method or a header that is not taken. */
  preflight(request: Request): Response {
    const method = request.headers.get("access-control-request-method");
    const taken = new Set(TAKEN.map((each) => each.toLowerCase()));
    const wanted = (request.headers.get("access-control-request-headers") ?? "").toLowerCase().split(",");
    const areTaken = wanted.every((each) => each.trim() === "" || taken.has(each.trim()));
    if (!this.allows(request.headers.get("origin")) || method !== "POST" || !areTaken) {
      throw new HeavyError(
        "origin_not_allowed",
        "a page of this origin may not ask that here; see ALLOWED_ORIGINS",
      );
    }
    const headers = {
      "Access-Control-Allow-Methods": METHODS,
      "Access-Control-Allow-Headers": TAKEN.join(", "),
      "Access-Control-Max-Age": LASTS_S,
    };
    return new Response(null, { status: 204, headers });
  }

  /** What tells a browser that the page may read the answer; nothing for any other page. */
  mark(request: Request, headers: Headers): void {
    const origin = request.headers.get("origin");
    if (!this.isOpen) headers.append("Vary", "Origin");
    if (origin === null || !this.allows(origin)) return;
    headers.set("Access-Control-Allow-Origin", this.isOpen ? "*" : origin);
    headers.set("Access-Control-Expose-Headers", SHOWN);
  }

  private allows(origin: string | null): boolean {
    return origin !== null && (this.isOpen || this.origins.includes(origin));
  }
}
