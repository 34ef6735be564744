// How a caller wants to be answered, as its headers say (`routing/preferences.py`). Pure.

import { HeavyError } from "./errors.ts";

const MAX_KEY_CHARS = 255;
const KEY = /^[\x20-\x7e]+$/;

/** The idempotency key, quoted or bare; null when there is none. Throws `invalid_request`. */
export function parseKey(line: string | null): string | null {
  if (line === null) return null;
  const trimmed = line.trim();
  const isQuoted = trimmed.length > 1 && trimmed.startsWith('"') && trimmed.endsWith('"');
  const key = isQuoted ? trimmed.slice(1, -1) : trimmed;
  if (key.length > MAX_KEY_CHARS || !KEY.test(key)) {
    const detail = `Idempotency-Key wants 1 to ${MAX_KEY_CHARS} printable ASCII characters`;
    throw new HeavyError("invalid_request", detail);
  }
  return key;
}

/** Whether `Accept` names exactly this type, with any weight but 0. */
export function accepts(mediaType: string, line: string | null): boolean {
  return (line ?? "").split(",").some((offer) => {
    const [name, ...parameters] = offer.split(";").map((part) => part.trim().toLowerCase());
    return name === mediaType && !parameters.some((each) => /^q\s*=\s*0(\.0*)?$/.test(each));
  });
}

/** `Prefer` as it was, but for a wait that is longer than this platform lets anybody wait for an answer. */
export function boundedWait(prefer: string, mostS: number): string {
  return prefer.replace(
    /\bwait\s*=\s*"?([0-9]{1,9})"?/gi,
    (_, seconds) => `wait=${Math.min(Number(seconds), mostS)}`,
  );
}
