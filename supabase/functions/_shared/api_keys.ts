// Whose an API key is (`foundation/identity/api_keys.py`): looked up by the SHA-256 of the whole of it.

import type { Database } from "./database.ts";
import { invalidToken } from "./errors.ts";
import type { World } from "./world.ts";

const FORM = /^[A-Za-z0-9_-]{1,32}_[A-Za-z0-9]{32}$/;

interface Found {
  id: string;
  user_id: string;
  is_touch_due: boolean;
}

export class ApiKeys {
  constructor(private readonly database: Database, private readonly world: World) {}

  /** The user an offered key speaks for; one sentence whether it is malformed, unknown or revoked. */
  async owner(key: string): Promise<string> {
    const found = FORM.test(key)
      ? await this.database.call<Found | null>("switchyard_keys_find", { p_hash: await hashOf(key) })
      : null;
    if (found === null) {
      throw invalidToken("the API key is not valid; it is mistyped, unknown or revoked");
    }
    if (found.is_touch_due) this.noteUse(found.id);
    return found.user_id;
  }

  /** That a key is in use is noted beside the request, which neither waits for it nor fails with it. */
  private noteUse(id: string): void {
    const noting = this.database.call("switchyard_keys_touch", { p_ids: [id] });
    this.world.background(noting.catch(() => this.world.log("api_key_use_not_noted", {})));
  }
}

/** Lower-case hex. No salt: a key is too long to be found by trying. */
async function hashOf(key: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key));
  return Array.from(new Uint8Array(digest), (each) => each.toString(16).padStart(2, "0")).join("");
}
