// Which published keys may verify a token, and with which algorithm (`foundation/identity/keys.py`).
//
// The key decides the algorithm: P-256 means ES256, RSA means RS256, the project's shared secret means HS256.
// Keys we cannot use are passed over, so that a project may publish others for other readers.
//
// Source: RFC 7517, RFC 7518.

const MAX_KEYS = 50;
export const MAX_KID_CHARS = 256;
const RSA_BITS = { least: 2048, most: 8192 };
const ES256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const RS256 = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
const HS256 = { name: "HMAC", hash: "SHA-256" };

/** `how` is what WebCrypto wants to hear when it verifies. */
export interface VerifyKey {
  algorithm: "ES256" | "RS256" | "HS256";
  how: typeof ES256 | typeof RS256 | typeof HS256;
  material: CryptoKey;
}

/** The document is not a key set, or a suspiciously large one; then the last good keys go on. */
export class KeySetError extends Error {}

export async function sharedKey(secret: string): Promise<VerifyKey> {
  const bytes = new TextEncoder().encode(secret);
  const material = await crypto.subtle.importKey("raw", bytes, HS256, false, ["verify"]);
  return { algorithm: "HS256", how: HS256, material };
}

/** The usable keys of a JWKS by their `kid`; may be none. */
export async function readKeySet(document: string): Promise<Map<string, VerifyKey>> {
  const usable = new Map<string, VerifyKey>();
  for (const jwk of published(document)) {
    const kid = jwk["kid"];
    if (typeof kid !== "string" || kid === "" || kid.length > MAX_KID_CHARS || usable.has(kid)) continue;
    const key = await readKey(jwk);
    if (key !== null) usable.set(kid, key);
  }
  return usable;
}

type Jwk = Record<string, unknown>;

function published(document: string): Jwk[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(document);
  } catch {
    throw new KeySetError("it is not JSON");
  }
  const keys = isObject(parsed) ? parsed["keys"] : null;
  if (!Array.isArray(keys)) throw new KeySetError("it has no list of keys");
  if (keys.length > MAX_KEYS) {
    throw new KeySetError(`it has ${keys.length} keys; at most ${MAX_KEYS} are taken`);
  }
  return keys.filter(isObject);
}

async function readKey(jwk: Jwk): Promise<VerifyKey | null> {
  if (!isForVerifying(jwk)) return null;
  const alg = jwk["alg"] ?? null;
  try {
    if (jwk["kty"] === "EC" && jwk["crv"] === "P-256" && (alg === null || alg === "ES256")) {
      return {
        algorithm: "ES256",
        how: ES256,
        material: await imported(jwk, ["kty", "crv", "x", "y"], ES256),
      };
    }
    if (jwk["kty"] === "RSA" && (alg === null || alg === "RS256")) return await rsaKey(jwk);
  } catch {
    // What cannot be imported is for other readers.
  }
  return null;
}

/** A key published with its private part proves nothing about who signed. */
function isForVerifying(jwk: Jwk): boolean {
  const { use = "sig", key_ops: operations = null } = jwk;
  const mayVerify = operations === null || (Array.isArray(operations) && operations.includes("verify"));
  return !("d" in jwk) && use === "sig" && mayVerify;
}

async function rsaKey(jwk: Jwk): Promise<VerifyKey | null> {
  const material = await imported(jwk, ["kty", "n", "e"], RS256);
  const bits = (material.algorithm as RsaHashedKeyAlgorithm).modulusLength;
  return bits >= RSA_BITS.least && bits <= RSA_BITS.most
    ? { algorithm: "RS256", how: RS256, material }
    : null;
}

function imported(jwk: Jwk, members: string[], how: typeof ES256 | typeof RS256): Promise<CryptoKey> {
  const plain = Object.fromEntries(members.map((name) => [name, jwk[name]]));
  return crypto.subtle.importKey("jwk", plain as JsonWebKey, how, false, ["verify"]);
}

function isObject(value: unknown): value is Jwk {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
