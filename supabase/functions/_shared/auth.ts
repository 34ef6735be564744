// Who asks: from the credentials of a request to a proved user (`foundation/identity/authenticate.py`).
//
// A user proves itself with a token, or with an API key of its own; with both, if they speak for one user.

import { type ApiKeys } from "./api_keys.ts";
import { readClaims, type TokenRules } from "./claims.ts";
import { readCredentials } from "./credentials.ts";
import { HeavyError, invalidToken } from "./errors.ts";
import type { Jwks } from "./jwks.ts";
import { sharedKey, type VerifyKey } from "./keys.ts";
import { readHeader, type TokenHeader, verifySignature } from "./tokens.ts";
import type { Clock } from "./world.ts";

/** `token` is the user's own, null when only an API key has proved it. */
export interface Caller {
  userId: string;
  token: string | null;
}

export interface Proofs {
  rules: TokenRules;
  jwks: Jwks;
  apiKeys: ApiKeys;
  clock: Clock;
  /** null: tokens signed with a shared secret are not taken. */
  jwtSecret: string | null;
}

export class Authenticator {
  constructor(private readonly proofs: Proofs) {}

  /** Throws `invalid_token`, `conflicting_credentials`, `backend_failed` or `database_unavailable`. */
  async authenticate(headers: Headers): Promise<Caller> {
    const { bearer, apiKey } = readCredentials(headers);
    const byToken = bearer === null ? null : await this.verify(bearer);
    const byKey = apiKey === null ? null : await this.proofs.apiKeys.owner(apiKey);
    if (byToken !== null && byKey !== null && byToken !== byKey) {
      const detail = "the token and the API key speak for different users";
      throw new HeavyError("conflicting_credentials", detail);
    }
    return { userId: byToken ?? byKey ?? "", token: bearer };
  }

  private async verify(token: string): Promise<string> {
    const key = await this.keyFor(readHeader(token));
    const claims = await verifySignature(token, key);
    return readClaims(claims, this.proofs.rules, Math.floor(this.proofs.clock.nowMs() / 1000));
  }

  /** The header picks the drawer; the algorithm then comes with the key that lies in it. */
  private async keyFor({ algorithm, kid }: TokenHeader): Promise<VerifyKey> {
    if (algorithm === "HS256") {
      if (this.proofs.jwtSecret === null) {
        throw invalidToken("tokens signed with a shared secret are not accepted here");
      }
      return await sharedKey(this.proofs.jwtSecret);
    }
    if (algorithm !== "ES256" && algorithm !== "RS256") {
      throw invalidToken("the token's algorithm is not accepted here");
    }
    const key = kid === null ? null : await this.proofs.jwks.find(kid);
    if (key === null) throw invalidToken("the token is not signed with a key of this project");
    return key;
  }
}
