// How a JSON body is taken in: bounded in bytes and in depth, and without what the database cannot keep
// (`routing/bodies.py`, `routing/fields.py`).

import { HeavyError, invalidBody, type JsonObject, tooLarge } from "./errors.ts";

const MAX_DEPTH = 64;
const DECODER = new TextDecoder("utf-8", { fatal: true });

export interface Body {
  bytes: Uint8Array<ArrayBuffer>;
  document: JsonObject;
}

/** Throws `unsupported_media_type`, `too_large`, `invalid_request` or `invalid_body`. */
export async function readBody(request: Request, limitBytes: number): Promise<Body> {
  checkMediaType(request.headers);
  const announced = Number(request.headers.get("content-length") ?? 0);
  if (announced > limitBytes) throw tooLarge(limitBytes);
  const bytes = await bytesOf(request, limitBytes);
  return { bytes, document: parse(bytes) };
}

function checkMediaType(headers: Headers): void {
  const mediaType = (headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase();
  if (mediaType !== "application/json") {
    throw new HeavyError("unsupported_media_type", "send the body as application/json");
  }
  if ((headers.get("content-encoding") ?? "identity").trim().toLowerCase() !== "identity") {
    throw new HeavyError("unsupported_media_type", "send the body uncompressed");
  }
}

async function bytesOf(request: Request, limitBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of request.body ?? []) {
    size += part.length;
    if (size > limitBytes) throw tooLarge(limitBytes);
    parts.push(part);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function parse(bytes: Uint8Array): JsonObject {
  let document: unknown;
  try {
    document = JSON.parse(DECODER.decode(bytes));
  } catch {
    throw new HeavyError("invalid_request", "the body is no JSON");
  }
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw invalidBody([{ field: "", message: "wants a JSON object" }]);
  }
  checkDepth(document as JsonObject);
  return document as JsonObject;
}

/** Throws for the first text with a NUL in it, or the first place nested deeper than `MAX_DEPTH`. */
function checkDepth(document: JsonObject): void {
  const waiting: { value: object; field: string; depth: number }[] = [{
    value: document,
    field: "",
    depth: 0,
  }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { value, field, depth } = next;
    if (depth >= MAX_DEPTH) {
      throw invalidBody([{ field, message: `is nested deeper than ${MAX_DEPTH} levels` }]);
    }
    const isList = Array.isArray(value);
    for (const [name, each] of Object.entries(value)) {
      if (name.includes("\0") || (typeof each === "string" && each.includes("\0"))) {
        throw invalidBody([{ field, message: "holds a NUL character, which cannot be stored" }]);
      }
      if (typeof each === "object" && each !== null) {
        // Only where it is: a path of a deep document would be longer than the document.
        const named = isList ? `${field}[${name}]` : field === "" ? name : `${field}.${name}`;
        waiting.push({ value: each, field: depth < 3 ? named : field, depth: depth + 1 });
      }
    }
  }
}
