// What a request is answered with: the settings, the services made of them, and how long things may take.

import type { Caller } from "../_shared/auth.ts";
import { Authenticator } from "../_shared/auth.ts";
import { ApiKeys } from "../_shared/api_keys.ts";
import { Database } from "../_shared/database.ts";
import { Jwks } from "../_shared/jwks.ts";
import { readSettings, type Settings } from "../_shared/settings.ts";
import type { World } from "../_shared/world.ts";
import type { ExecuteBody } from "./execute_body.ts";
import { Expiry } from "./expiry.ts";

/**
 * Milliseconds, from when the request came. The platform ends what has no answer after 150 s, and everything after
 * 150 or 400 s.
 *
 * bodyMs: until a request's body has come. forwardMs: how long a run's stream is passed through. headMs: until a
 * backend must have answered. lightMs: for a light agent's whole answer. pingMs: of silence in a stream.
 */
export interface Limits {
  bodyMs: number;
  forwardMs: number;
  headMs: number;
  lightMs: number;
  pingMs: number;
}

export const LIMITS: Limits = {
  bodyMs: 90_000,
  forwardMs: 120_000,
  headMs: 140_000,
  lightMs: 140_000,
  pingMs: 15_000,
};

export interface Room {
  world: World;
  limits: Limits;
  settings: Settings;
  database: Database;
  authenticator: Authenticator;
  /** null where a backend does it. */
  expiry: Expiry | null;
}

/** One request, proved and read. `key` is the caller's, or made for it. `beganMs` is of the monotonic clock. */
export interface Asked {
  request: Request;
  requestId: string;
  caller: Caller;
  body: ExecuteBody;
  bytes: Uint8Array<ArrayBuffer>;
  key: string;
  wantsStream: boolean;
  beganMs: number;
}

/** Throws `not_configured`, which names the variable that is wrong. */
export function openRoom(world: World, limits: Limits): Room {
  const settings = readSettings((name) => world.env(name));
  const database = new Database(settings.supabaseUrl, settings.secretKey, world);
  const authenticator = new Authenticator({
    rules: settings,
    jwks: new Jwks(`${settings.supabaseUrl}/auth/v1/.well-known/jwks.json`, world),
    apiKeys: new ApiKeys(database, world),
    clock: world.clock,
    jwtSecret: settings.jwtSecret,
  });
  const expiry = settings.backendUrl === null ? new Expiry(database, world) : null;
  return { world, limits, settings, database, authenticator, expiry };
}
