// What a caller may send, as the wire names it (`ExecuteBody` of `routing/models.py`). Pure.
//
// Unknown fields are refused, so that a typo changes nothing. `userId`, `agentConfig` and `functionResults` come
// from older front ends: accepted and ignored.

import { type FieldError, invalidBody, type Json, type JsonObject } from "../_shared/errors.ts";

export interface Message {
  role: "user" | "assistant" | "system";
  content: string;
}

export interface ExecuteBody {
  agentId: string;
  messages: Message[];
  stream: boolean;
  conversationId: string | null;
}

const FIELDS = new Set([
  "agentId",
  "messages",
  "stream",
  "input",
  "conversationId",
  "metadata",
  "userId",
  "agentConfig",
  "functionResults",
]);
const ROLES = new Set(["user", "assistant", "system"]);
const MAX_MESSAGES = 1000;
const MAX_CHARS = 2_000_000;
const MAX_METADATA_BYTES = 16 * 1024;
const MAX_ERRORS = 50;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const UNKNOWN = "is not a field of this request; check its spelling";

/** Throws `invalid_body` with every mistake, at most 50. */
export function readExecuteBody(document: JsonObject): ExecuteBody {
  const mistakes = [
    ...strangers(document, FIELDS, ""),
    ...idMistakes(document, "agentId", { isRequired: true }),
    ...messageMistakes(document["messages"]),
    ...typeMistakes(document),
    ...idMistakes(document, "conversationId", { isRequired: false }),
  ];
  if (mistakes.length > 0) throw invalidBody(mistakes.slice(0, MAX_ERRORS));
  return {
    agentId: document["agentId"] as string,
    messages: document["messages"] as unknown as Message[],
    stream: document["stream"] === true,
    conversationId: (document["conversationId"] ?? null) as string | null,
  };
}

function strangers(object: object, known: ReadonlySet<string>, path: string): FieldError[] {
  const names = Object.keys(object).filter((name) => !known.has(name)).slice(0, MAX_ERRORS);
  return names.map((name) => ({ field: path + name, message: UNKNOWN }));
}

function idMistakes(
  document: JsonObject,
  field: string,
  { isRequired }: { isRequired: boolean },
): FieldError[] {
  const value = document[field];
  if (value === undefined) return isRequired ? [{ field, message: "is missing" }] : [];
  if (value === null && !isRequired) return [];
  return typeof value === "string" && UUID.test(value) ? [] : [{ field, message: "wants a UUID, as text" }];
}

function typeMistakes(document: JsonObject): FieldError[] {
  const { stream = false, input = {}, metadata = {} } = document;
  const mistakes: FieldError[] = [];
  if (typeof stream !== "boolean") mistakes.push({ field: "stream", message: "wants true or false" });
  for (const [field, value] of Object.entries({ input, metadata })) {
    if (!isObject(value)) mistakes.push({ field, message: "wants a JSON object" });
  }
  if (new TextEncoder().encode(JSON.stringify(metadata)).length > MAX_METADATA_BYTES) {
    const message = `is larger than ${MAX_METADATA_BYTES} bytes of JSON; large values belong in \`input\``;
    mistakes.push({ field: "metadata", message });
  }
  return mistakes;
}

const PARTS = new Set(["role", "content"]);

function messageMistakes(messages: Json | undefined): FieldError[] {
  const field = "messages";
  if (messages === undefined) return [{ field, message: "is missing" }];
  if (!Array.isArray(messages)) return [{ field, message: "wants a list" }];
  if (messages.length > MAX_MESSAGES) return [{ field, message: `wants at most ${MAX_MESSAGES} messages` }];
  const mistakes = messages.flatMap(mistakesInMessage);
  const chars = messages.reduce((sum: number, each) => sum + contentChars(each), 0);
  if (chars > MAX_CHARS) {
    const message = `hold more than ${MAX_CHARS} characters together; large values belong in \`input\``;
    mistakes.push({ field, message });
  }
  return mistakes;
}

function mistakesInMessage(message: Json, index: number): FieldError[] {
  const path = `messages[${index}]`;
  if (!isObject(message)) return [{ field: path, message: "wants a JSON object" }];
  const { role, content } = message;
  const mistakes = strangers(message, PARTS, `${path}.`);
  if (typeof role !== "string" || !ROLES.has(role)) {
    const wants = role === undefined ? "is missing" : "wants user, assistant or system";
    mistakes.push({ field: `${path}.role`, message: wants });
  }
  if (typeof content !== "string") {
    mistakes.push({ field: `${path}.content`, message: content === undefined ? "is missing" : "wants text" });
  }
  return mistakes;
}

function contentChars(message: Json): number {
  return isObject(message) && typeof message["content"] === "string" ? message["content"].length : 0;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
