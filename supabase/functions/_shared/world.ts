// What a function needs of the world around it, handed in so that nothing here reaches for it by itself.

import type { JsonObject } from "./errors.ts";

/** `nowMs`: since 1970, may be set back; `monotonicMs`: never goes back, from anywhere. */
export interface Clock {
  nowMs(): number;
  monotonicMs(): number;
}

/**
 * `resolve`: the IP addresses of a name. `background`: work that goes on after the answer; the platform is told
 * to wait for it. `log`: a line of words and numbers, never of what a caller or a provider has written.
 */
export interface World {
  fetch: typeof fetch;
  env(name: string): string | undefined;
  clock: Clock;
  resolve(host: string): Promise<string[]>;
  background(work: Promise<unknown>): void;
  log(event: string, facts: JsonObject): void;
}
