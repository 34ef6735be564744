// Which of an agent's functions fire, and whether one of them ends the request. Pure.

import type { Json, JsonObject } from "../_shared/errors.ts";
import type { Message } from "./execute_body.ts";

export type FunctionType = "api_call" | "conditional" | "data_transform" | "webhook";

export interface AgentFunction {
  name: string;
  function_type: FunctionType;
  trigger_keywords: string[];
  config: JsonObject;
}

/** `reply` is what a conditional function says instead of the model; null when the model is to answer. */
export interface Firing {
  functions: AgentFunction[];
  reply: string | null;
}

// Of a message, which may be two million characters: whoever wants a function says so at the beginning.
const MAX_MESSAGE_CHARS = 20_000;

/** Those with a keyword in the newest message of the user, in their order, up to the first that replies. */
export function firingOf(functions: readonly AgentFunction[], messages: readonly Message[]): Firing {
  const message = newestOf(messages).slice(0, MAX_MESSAGE_CHARS);
  const fired = functions.filter((each) => each.trigger_keywords.some((keyword) => isIn(keyword, message)));
  const end = fired.findIndex((each) => replyOf(each) !== null);
  if (end < 0) return { functions: fired, reply: null };
  return { functions: fired.slice(0, end), reply: replyOf(fired[end]) };
}

export function newestOf(messages: readonly Message[]): string {
  return messages.findLast((each) => each.role === "user")?.content ?? "";
}

/** As whole words, whatever their case. */
function isIn(keyword: string, message: string): boolean {
  const wanted = keyword.trim();
  if (wanted === "") return false;
  const escaped = wanted.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  return new RegExp(`(?<![\\p{L}\\p{N}_])${escaped}(?![\\p{L}\\p{N}_])`, "iu").test(message);
}

function replyOf(each: AgentFunction | undefined): string | null {
  if (each?.function_type !== "conditional") return null;
  const reply: Json = each.config["response"] ?? each.config["reply"] ?? null;
  return typeof reply === "string" && reply.trim() !== "" ? reply : null;
}
