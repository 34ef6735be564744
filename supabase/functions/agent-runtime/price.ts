// What a request costs in whole credits, from its agent's price and what it used
// (`heavy_agents/credits/price.py`). Pure. Every part rounds up on its own.

import { HeavyError, type Json, type JsonObject } from "../_shared/errors.ts";

const MAX_CREDITS = 1_000_000;
const PARTS = new Set(["flat", "per_1k_tokens", "per_minute", "ceiling"]);

/** `ceiling` is what is held and the most that is charged. */
export interface Price {
  flat: number;
  perThousandTokens: number;
  perMinute: number;
  ceiling: number;
}

/** The price on an agent's row; an absent ceiling is the flat price. Throws `not_configured`. */
export function parsePrice(stored: Json): Price {
  if (typeof stored !== "object" || stored === null || Array.isArray(stored)) throw wrong("is no object");
  const parts: JsonObject = stored;
  const unknown = Object.keys(parts).sort().find((name) => !PARTS.has(name));
  if (unknown !== undefined) throw wrong(`has an unknown part '${unknown}'`);
  const flat = creditsIn(parts, "flat", 1);
  const perThousandTokens = creditsIn(parts, "per_1k_tokens", 0);
  const perMinute = creditsIn(parts, "per_minute", 0);
  const ceiling = creditsIn(parts, "ceiling", flat);
  const isCounted = perThousandTokens > 0 || perMinute > 0;
  if (ceiling < flat + (isCounted ? 1 : 0)) {
    throw wrong(
      `has ceiling = ${ceiling}, wants ${isCounted ? "more than" : "at least"} its flat price of ${flat}`,
    );
  }
  return { flat, perThousandTokens, perMinute, ceiling };
}

/** Credits to settle: the price of what was used, at most the ceiling. */
export function chargeOf(price: Price, used: { tokens: number; elapsedMs: number }): number {
  const forTokens = share(price.perThousandTokens, used.tokens, 1_000);
  const forTime = share(price.perMinute, used.elapsedMs, 60_000);
  return Math.min(price.flat + forTokens + forTime, price.ceiling);
}

function share(creditsEach: number, amount: number, unit: number): number {
  return Math.ceil((creditsEach * amount) / unit);
}

function creditsIn(parts: JsonObject, name: string, absent: number): number {
  const value = Object.hasOwn(parts, name) ? parts[name] : absent;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > MAX_CREDITS) {
    throw wrong(`has ${name} = ${JSON.stringify(value)}, wants a whole number of credits`);
  }
  return value;
}

function wrong(what: string): HeavyError {
  return new HeavyError("not_configured", `the agent's price ${what}; its operator must mend it`);
}
