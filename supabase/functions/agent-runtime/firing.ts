// Which of an agent's functions fire, and whether one of them ends the request. Pure.
//
// `tests/golden/functions.json` holds this and the backend (`heavy_agents/edge/functions.py`) to one table.

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

const TYPES: ReadonlySet<Json | undefined> = new Set([
  "api_call",
  "conditional",
  "data_transform",
  "webhook",
]);
// Of a message, which may be two million characters: whoever wants a function says so at the beginning.
const MAX_MESSAGE_CHARS = 20_000;

/** Rows of a type that is not one of ours are left out: the table may be an app's own. */
export function readFunctions(rows: readonly JsonObject[]): AgentFunction[] {
  return rows.filter((row) => TYPES.has(row["function_type"])).map(readFunction);
}

function readFunction(
  { name = null, function_type, trigger_keywords, config = null }: JsonObject,
): AgentFunction {
  const type = function_type as FunctionType;
  const words = Array.isArray(trigger_keywords) ? trigger_keywords : [];
  return {
    name: typeof name === "string" ? name : type,
    function_type: type,
    trigger_keywords: words.filter((each) => typeof each === "string"),
    config: typeof config === "object" && config !== null && !Array.isArray(config) ? config : {},
  };
}

/**
 * Those with a keyword in the newest message of the user, in their order, up to the first that replies. A
 * conditional without a reply is as if it were not there.
 */
export function firingOf(functions: readonly AgentFunction[], messages: readonly Message[]): Firing {
  const message = newestOf(messages).slice(0, MAX_MESSAGE_CHARS);
  const fired = functions.filter((each) => each.trigger_keywords.some((keyword) => isIn(keyword, message)));
  const end = fired.findIndex((each) => replyOf(each) !== null);
  const before = end < 0 ? fired : fired.slice(0, end);
  return {
    functions: before.filter((each) => each.function_type !== "conditional"),
    reply: replyOf(fired[end]),
  };
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
  const texts = [each.config["response"], each.config["reply"]];
  return texts.find((text): text is string => typeof text === "string" && text.trim() !== "") ?? null;
}
