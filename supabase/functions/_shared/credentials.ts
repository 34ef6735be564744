// Which credentials a request offers, unproved (`foundation/identity/credentials.py`). Pure.

import { HeavyError, invalidToken, missingCredentials } from "./errors.ts";

// Whoever has the service's secret calls the backend itself.
const OF_THE_SERVICE = ["x-railway-secret", "x-user-id"];

/** null: the header was not sent. At least one is there. */
export interface Credentials {
  bearer: string | null;
  apiKey: string | null;
}

/** Throws `invalid_token` when there are none or of a form that is not taken. */
export function readCredentials(headers: Headers): Credentials {
  const foreign = OF_THE_SERVICE.find((name) => headers.has(name));
  if (foreign !== undefined) {
    throw invalidToken(`${foreign} is not taken here; send the user's own credential`);
  }
  const authorization = headers.get("authorization");
  const apiKey = headers.get("x-api-key");
  if (authorization === null && apiKey === null) throw missingCredentials();
  // A header that is sent twice arrives joined, and neither a token nor a key has a comma in it.
  if (authorization?.includes(",") || apiKey?.includes(",")) {
    throw new HeavyError("conflicting_credentials", "a credential is offered more than once; send one");
  }
  return { bearer: authorization === null ? null : bearerOf(authorization), apiKey };
}

function bearerOf(value: string): string {
  const match = /^bearer +(\S+)$/i.exec(value.trim());
  if (match?.[1] === undefined) {
    throw invalidToken("the Authorization header must be: Bearer, a space and the access token");
  }
  return match[1];
}
