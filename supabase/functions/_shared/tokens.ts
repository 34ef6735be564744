// Whether a Supabase access token is genuine: its form, header and signature (`foundation/identity/tokens.py`).
//
// The key is handed in and decides the algorithm. Nothing in a token is believed before the signature holds;
// addresses and keys inside a header are a reason to refuse and are never followed.
//
// Source: RFC 7515, RFC 8725.

import { invalidToken, type JsonObject } from "./errors.ts";
import { MAX_KID_CHARS, type VerifyKey } from "./keys.ts";

const MAX_TOKEN_CHARS = 8192;
const COMPACT_FORM = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const FOREIGN_HEADERS = ["b64", "crit", "enc", "jku", "jwk", "x5c", "x5u", "zip"];
const KID = new RegExp(`^[\\x21-\\x7e]{1,${MAX_KID_CHARS}}$`);

/** What the token says about itself, unproved; `kid` is null when it names no key. */
export interface TokenHeader {
  algorithm: string;
  kid: string | null;
}

export function readHeader(token: string): TokenHeader {
  if (token.length > MAX_TOKEN_CHARS) {
    throw invalidToken(`the token is longer than the ${MAX_TOKEN_CHARS} characters taken`);
  }
  if (!COMPACT_FORM.test(token)) throw invalidToken("the token is not a JWT; send the user's access token");
  const header = objectIn(token.split(".")[0] ?? "", "header");
  const foreign = FOREIGN_HEADERS.find((name) => Object.hasOwn(header, name));
  if (foreign !== undefined) throw invalidToken(`tokens with the header ${foreign} are not taken`);
  const { alg, kid = null } = header;
  if (typeof alg !== "string") throw invalidToken("the token names no algorithm");
  if (kid !== null && (typeof kid !== "string" || !KID.test(kid))) {
    throw invalidToken("the token's key id is malformed");
  }
  return { algorithm: alg, kid };
}

/** The claims of a token that `key` signed with the key's own algorithm; they are not judged yet. */
export async function verifySignature(token: string, key: VerifyKey): Promise<JsonObject> {
  const [head = "", payload = "", signature = ""] = token.split(".");
  const signed = new TextEncoder().encode(`${head}.${payload}`);
  const isGenuine = readHeader(token).algorithm === key.algorithm &&
    await crypto.subtle.verify(key.how, key.material, bytesOf(signature), signed);
  if (!isGenuine) throw invalidToken("the token is not signed with a key of this project");
  return objectIn(payload, "payload");
}

function objectIn(part: string, name: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytesOf(part)));
  } catch {
    throw invalidToken(`the token's ${name} cannot be read`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalidToken(`the token's ${name} cannot be read`);
  }
  return value as JsonObject;
}

function bytesOf(part: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(
      atob(part.replaceAll("-", "+").replaceAll("_", "/")),
      (each) => each.charCodeAt(0),
    );
  } catch {
    throw invalidToken("the token is not a JWT; send the user's access token");
  }
}
