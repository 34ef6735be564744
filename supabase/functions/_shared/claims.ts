// Whether a genuine token is one of a signed-in user of this project, and valid now
// (`foundation/identity/claims.py`). Pure: the time is handed in.

import { invalidToken, type JsonObject } from "./errors.ts";

const LEEWAY_S = 30;
const AUDIENCE = "authenticated";
// The last second of the year 9999: a larger number is a mistake in the unit.
const LATEST_TIME = 253_402_300_799;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** `issuer` must match exactly. */
export interface TokenRules {
  issuer: string;
  allowAnonymous: boolean;
  allowOauthClients: boolean;
}

/** The id of the user a verified token stands for; throws the first rule that does not hold. */
export function readClaims(claims: JsonObject, rules: TokenRules, nowS: number): string {
  checkTimes(claims, nowS);
  if (claims["iss"] !== rules.issuer) {
    throw invalidToken("the token was issued by another project; its iss is not the one configured here");
  }
  if (claims["role"] !== AUDIENCE) {
    throw invalidToken("the token is not a signed-in user's; its role must be authenticated");
  }
  if (!isForUs(claims["aud"])) throw invalidToken("the token's aud must contain authenticated");
  checkKind(claims, rules);
  const sub = claims["sub"];
  if (typeof sub !== "string" || !UUID.test(sub)) throw invalidToken("the token's sub must be a user's UUID");
  return sub;
}

function checkTimes(claims: JsonObject, nowS: number): void {
  if (!Object.hasOwn(claims, "exp")) throw invalidToken("the token has no exp");
  if (timeOf(claims, "exp", nowS) <= nowS - LEEWAY_S) {
    throw invalidToken("the token has expired; refresh the session");
  }
  for (const name of ["nbf", "iat"]) {
    if (timeOf(claims, name, nowS) > nowS + LEEWAY_S) {
      throw invalidToken(`the token is not valid yet; its ${name} lies in the future`);
    }
  }
}

function timeOf(claims: JsonObject, name: string, absent: number): number {
  const value = Object.hasOwn(claims, name) ? claims[name] : absent;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > LATEST_TIME) {
    throw invalidToken(`the token's ${name} is not a time in whole seconds`);
  }
  return value;
}

function isForUs(audience: unknown): boolean {
  if (!Array.isArray(audience)) return audience === AUDIENCE;
  return audience.every((each) => typeof each === "string") && audience.includes(AUDIENCE);
}

function checkKind(claims: JsonObject, rules: TokenRules): void {
  const { is_anonymous: anonymous = null, client_id: client = null } = claims;
  if (anonymous !== null && anonymous !== false && !rules.allowAnonymous) {
    throw invalidToken("anonymous users are not accepted here; sign in first");
  }
  if (client !== null && !rules.allowOauthClients) {
    throw invalidToken("tokens issued to third-party applications are not accepted here");
  }
}
