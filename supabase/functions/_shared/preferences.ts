// How a caller wants to be answered, as its headers say (`routing/preferences.py`). Pure.

import { HeavyError } from "./errors.ts";

const MAX_KEY_CHARS = 255;
const KEY = /^[\x20-\x7e]+$/;
const DEFAULT_WAIT_S = 100;
const MAX_WAIT_S = 240;
const SECONDS = /^[0-9]{1,9}$/;
// Preferences are parted by commas that do not stand in quotes.
const PART = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g;

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

/** `waitS` is null when the caller did not say; it is at most `MAX_WAIT_S`. */
export interface Preference {
  respondAsync: boolean;
  waitS: number | null;
}

/** Of a preference given twice the first counts. Source: RFC 7240, sections 2, 4.1 and 4.3. */
export function parsePrefer(line: string | null): Preference {
  const found = new Map<string, string>();
  for (const part of (line ?? "").match(PART) ?? []) {
    const [name, ...value] = part.split(";")[0]!.split("=");
    const named = name!.trim().toLowerCase();
    if (!found.has(named)) found.set(named, value.join("=").trim().replace(/^"+|"+$/g, ""));
  }
  const wait = found.get("wait") ?? "";
  return {
    respondAsync: found.has("respond-async"),
    waitS: SECONDS.test(wait) ? Math.min(Number(wait), MAX_WAIT_S) : null,
  };
}

/**
 * The line that asks a backend for the same, but to wait no longer than `mostS`, whole seconds; made anew, so
 * that nothing in it can be read otherwise there than here.
 */
export function waitLine({ respondAsync, waitS }: Preference, mostS: number): string {
  if (respondAsync && waitS === null) return "respond-async";
  const wait = `wait=${Math.min(waitS ?? DEFAULT_WAIT_S, mostS)}`;
  return respondAsync ? `respond-async, ${wait}` : wait;
}
