// Holds of requests whose process ended before they did. A backend releases them; where there is none, whoever asks
// next has it done, beside what was asked for.

import type { Database } from "../_shared/database.ts";
import type { World } from "../_shared/world.ts";

// No function lives so long.
const AFTER_S = 15 * 60;
const EVERY_MS = 60_000;
const BATCH = 100;

export class Expiry {
  private dueMs = -Infinity;

  constructor(private readonly database: Database, private readonly world: World) {}

  /** Looks once a minute at most, in this process. */
  visit(): void {
    const nowMs = this.world.clock.monotonicMs();
    if (nowMs < this.dueMs) return;
    this.dueMs = nowMs + EVERY_MS;
    this.world.background(this.release().catch(() => this.world.log("holds_not_released", {})));
  }

  private async release(): Promise<void> {
    const args = { p_after_s: AFTER_S, p_limit: BATCH };
    const { released } = await this.database.call<{ released: number }>("switchyard_credits_expire", args);
    if (released > 0) this.world.log("holds_released", { released });
  }
}
