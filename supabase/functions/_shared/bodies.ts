// How a JSON body is taken in: bounded in bytes and in depth, and without what the database cannot keep
// (`routing/bodies.py`, `routing/fields.py`).

import { HeavyError, invalidBody, type JsonObject, tooLarge } from "./errors.ts";

const MAX_DEPTH = 64;
const TOO_SLOW = "the body came too slowly; send it again on a better connection";
const DECODER = new TextDecoder("utf-8", { fatal: true });

export interface Body {
  bytes: Uint8Array<ArrayBuffer>;
  document: JsonObject;
}

/** How much a body may have, and how long it may take to come. */
export interface Bounds {
  limitBytes: number;
  withinMs: number;
}

/** Throws `unsupported_media_type`, `too_large`, `too_slow`, `invalid_request` or `invalid_body`. */
export async function readBody(request: Request, bounds: Bounds): Promise<Body> {
  checkMediaType(request.headers);
  const announced = Number(request.headers.get("content-length") ?? 0);
  if (announced > bounds.limitBytes) throw tooLarge(bounds.limitBytes);
  const bytes = await bytesOf(request, bounds);
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

async function bytesOf(request: Request, bounds: Bounds): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of inTime(request.body, bounds.withinMs)) {
    size += part.length;
    if (size > bounds.limitBytes) throw tooLarge(bounds.limitBytes);
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

/** The parts of `stream`, which is left when they are not taken to their end. */
async function* inTime(
  stream: ReadableStream<Uint8Array> | null,
  withinMs: number,
): AsyncGenerator<Uint8Array> {
  if (stream === null) return;
  const reader = stream.getReader();
  let isLate = false;
  const leave = () => reader.cancel().catch(() => undefined);
  const timer = setTimeout(() => {
    isLate = true;
    leave();
  }, withinMs);
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    clearTimeout(timer);
    leave();
  }
  if (isLate) throw new HeavyError("too_slow", TOO_SLOW);
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
