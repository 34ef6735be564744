// A user's credits, held before anything is done for them and closed once, by the request's key.
//
// An answer is held for under `light:<key>`, then `light:<n>:<key>`, a run under `heavy:<n>:<key>`, so that a
// key which paid for one never pays for the other; n counts from 1, and goes on once the holds before it were
// released.

import type { Database } from "../_shared/database.ts";
import { HeavyError, type JsonObject } from "../_shared/errors.ts";
import type { World } from "../_shared/world.ts";

const TRIES = 3;
const PAUSE_MS = 300;
const MOST_HOLDS = 20;
const USED_UP = "this Idempotency-Key was used too often without success; use a new one";
const ANSWERED = "this request was answered before; its answer is not kept, use a new Idempotency-Key";
const ANSWERING = "this request is being answered; send it again in a while, or use a new Idempotency-Key";

interface Held {
  is_new: boolean;
  charged: number | null;
}

/** Credits held for one request. Closing again changes nothing. */
export interface Hold {
  /** Ends it with a charge, at most what is held, for `usage`; returns what was charged. */
  settle(credits: number, usage?: JsonObject): Promise<number>;
  /**
   * Ends it without one, unless it has ended; returns what was charged then. Never throws: what stays open is
   * released in time (`expiry.ts`).
   */
  release(): Promise<number>;
}

/** Where nobody charges, or nothing is asked for. */
export const NOTHING_HELD: Hold = {
  settle: () => Promise.resolve(0),
  release: () => Promise.resolve(0),
};

export class Purse {
  constructor(
    private readonly database: Database,
    private readonly world: World,
    private readonly userId: string,
  ) {}

  /** Throws `insufficient_credits`; `key_conflict` when the key has an answer, or is getting one. */
  async holdForAnswer(key: string, credits: number, agentId: string): Promise<Hold> {
    const name = await this.newName(key, credits);
    return {
      settle: (due, usage = {}) => {
        const args = { p_credits: due, p_agent_id: agentId, p_usage: usage };
        return this.close("switchyard_answers_settle", name, args);
      },
      release: () => this.release(name),
    };
  }

  /** What is held now, and was by nobody before: of those with one key at once, one gets it. */
  private async newName(key: string, credits: number): Promise<string> {
    for (let n = 1; n <= MOST_HOLDS; n++) {
      const name = n === 1 ? `light:${key}` : `light:${n}:${key}`;
      const held = await this.hold(name, credits);
      if (held.is_new) return name;
      if (held.charged !== 0) {
        throw new HeavyError("key_conflict", held.charged === null ? ANSWERING : ANSWERED);
      }
    }
    throw new HeavyError("key_conflict", USED_UP);
  }

  /** Throws `insufficient_credits`. A run that is joined by its key is paid for once. */
  async holdForRun(key: string, credits: number): Promise<Hold> {
    for (let n = 1; n <= MOST_HOLDS; n++) {
      const name = `heavy:${n}:${key}`;
      const held = await this.hold(name, credits);
      if (held.charged === 0) continue;
      return {
        settle: (due) => this.settleRun(key, name, due),
        // Whoever has opened it may release it.
        release: held.is_new ? () => this.release(name) : NOTHING_HELD.release,
      };
    }
    throw new HeavyError("key_conflict", USED_UP);
  }

  private hold(name: string, credits: number): Promise<Held> {
    return this.database.call<Held>("switchyard_credits_hold", {
      p_user_id: this.userId,
      p_credits: credits,
      p_key: name,
    });
  }

  /** Another request with the key may have been refused meanwhile, and released what it held for both. */
  private async settleRun(key: string, name: string, due: number): Promise<number> {
    const charged = await this.close("switchyard_credits_settle", name, { p_credits: due });
    return charged > 0 ? charged : await (await this.holdForRun(key, due)).settle(due);
  }

  private async release(name: string): Promise<number> {
    try {
      return await this.close("switchyard_credits_release", name, {});
    } catch {
      this.world.log("hold_left_open", {});
      return 0;
    }
  }

  /** Safe to repeat: a hold ends once. */
  private async close(call: string, name: string, more: JsonObject): Promise<number> {
    const args = { p_user_id: this.userId, p_key: name, ...more };
    for (let tries = 1;; tries++) {
      try {
        return (await this.database.call<{ charged: number }>(call, args)).charged;
      } catch (error) {
        if (tries === TRIES || !(error instanceof HeavyError) || error.code !== "database_unavailable") {
          throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * tries));
      }
    }
  }
}
