// The project's published keys, as fresh as they need to be (`foundation/identity/jwks.py`).
//
// States: nothing yet, fresh (until the document's `max-age`, 60 s to 1 h), stale. One fetch at a time, whoever
// asks; at most one a cooldown, so a storm of invented key ids costs one fetch. A fetch that fails changes
// nothing: known keys go on verifying.

import { keysUnavailable } from "./errors.ts";
import { KeySetError, readKeySet, type VerifyKey } from "./keys.ts";
import type { World } from "./world.ts";

const FETCH_MS = 5_000;
const MAX_CHARS = 256 * 1024;
const COOLDOWN_MS = 30_000;
// As long as there are no keys at all nobody can sign in, so asking again is worth more.
const FIRST_COOLDOWN_MS = 2_000;
const DEFAULT_S = 600;
const SHORTEST_S = 60;
const LONGEST_S = 3600;
const MAX_AGE = /(?:^|[\s,])max-age="?([0-9]{1,9})"?(?=$|[\s,;])/i;

/** How long a document with this `Cache-Control` is taken for fresh. */
export function lifetimeS(cacheControl: string | null): number {
  const found = MAX_AGE.exec(cacheControl ?? "");
  return found === null ? DEFAULT_S : Math.min(Math.max(Number(found[1]), SHORTEST_S), LONGEST_S);
}

export class Jwks {
  private keys: Map<string, VerifyKey> | null = null;
  private freshUntilMs = 0;
  private askedAtMs: number | null = null;
  private hasFailed = false;
  private fetching: Promise<void> | null = null;

  constructor(private readonly url: string, private readonly world: World) {}

  /** The key named `kid`; null when the project does not publish it. */
  async find(kid: string): Promise<VerifyKey | null> {
    if (this.keys === null || this.world.clock.monotonicMs() >= this.freshUntilMs) await this.refresh();
    if (this.known(kid) === null) await this.refresh();
    const key = this.known(kid);
    if (key === null && (this.keys === null || this.hasFailed)) throw keysUnavailable();
    return key;
  }

  private known(kid: string): VerifyKey | null {
    return this.keys?.get(kid) ?? null;
  }

  /** Join the fetch under way, or begin one if the cooldown allows. */
  private async refresh(): Promise<void> {
    if (this.fetching === null) {
      const nowMs = this.world.clock.monotonicMs();
      const cooldownMs = this.keys === null ? FIRST_COOLDOWN_MS : COOLDOWN_MS;
      if (this.askedAtMs !== null && nowMs < this.askedAtMs + cooldownMs) return;
      this.askedAtMs = nowMs;
      this.fetching = this.fetch().finally(() => this.fetching = null);
    }
    await this.fetching;
  }

  private async fetch(): Promise<void> {
    try {
      const options: RequestInit = { redirect: "error", signal: AbortSignal.timeout(FETCH_MS) };
      const answer = await this.world.fetch(this.url, options);
      const document = await answer.text();
      if (answer.status !== 200) throw new KeySetError(`the answer has status ${answer.status}`);
      if (document.length > MAX_CHARS) throw new KeySetError("it is too long");
      this.keys = await readKeySet(document);
      this.hasFailed = false;
      const lifetimeMs = lifetimeS(answer.headers.get("cache-control")) * 1000;
      this.freshUntilMs = this.world.clock.monotonicMs() + lifetimeMs;
    } catch (error) {
      this.hasFailed = true;
      const reason = error instanceof KeySetError ? error.message : "it cannot be fetched";
      this.world.log("jwks_fetch_failed", { reason, keysKnown: this.keys?.size ?? 0 });
    }
  }
}
