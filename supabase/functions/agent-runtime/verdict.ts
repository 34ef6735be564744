// What an answer of the provider that is no 200 means (`heavy_agents/llm/verdict.py`). Pure.
//
// The sentences are our own: what the provider says may hold keys, addresses and other people's names.

import { HeavyError, type JsonObject } from "../_shared/errors.ts";

/** A parameter that a model does not take. */
export type Quirk = "max_tokens" | "temperature" | "stream_options";

/** A try without an answer; `quirk`: the parameter without which it may fare better. */
export interface Setback {
  error: HeavyError;
  why: string;
  mayRetry: boolean;
  quirk: Quirk | null;
}

const QUIRKS: readonly Quirk[] = ["max_tokens", "temperature", "stream_options"];
const ASKED_WRONGLY = new Set([400, 413, 422]);
const MAY_RETRY = new Set([408, 409, 429]);
const MISSING_MODEL = new Set(["model_not_found", "model_not_available"]);
const TOO_LONG = new Set(["context_length_exceeded", "string_above_max_length", "request_too_large"]);
const FILTERED = new Set(["content_filter", "content_policy_violation", "responsibleaipolicyviolation"]);
const NO_MONEY = new Set(["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"]);
const NOT_TAKEN = ["unsupported", "unknown", "unrecognized"];
const MAX_NAME = 100;

export function unavailable(sentence: string, why: string, mayRetry = false): Setback {
  return { error: new HeavyError("model_unavailable", sentence), why, mayRetry, quirk: null };
}

/** What becomes of a try that was answered with this status and text. */
export function judge(status: number, text: string, model: string): Setback {
  const { words, param } = readRefusal(text);
  const says = (codes: ReadonlySet<string>) => words.some((each) => codes.has(each));
  const why = `status_${status}`;
  if (status === 401 || (status === 403 && !says(MISSING_MODEL))) {
    return unavailable("the model provider refused the server's key", why);
  }
  if (status === 402 || says(NO_MONEY)) {
    return unavailable("the server's account at the model provider is used up", why);
  }
  if (status === 404 || says(MISSING_MODEL)) {
    return unavailable(
      `the model '${model.slice(0, MAX_NAME)}' is not offered by the configured provider`,
      why,
    );
  }
  if (ASKED_WRONGLY.has(status)) {
    const sentence = mistake(status, says);
    return { ...unavailable(sentence, why), quirk: quirkOf(words, param) };
  }
  const sentence = status === 429
    ? "the model provider is limiting how often it is asked; try again later"
    : "the model provider failed; try again later";
  return unavailable(sentence, why, status >= 500 || MAY_RETRY.has(status));
}

function mistake(status: number, says: (codes: ReadonlySet<string>) => boolean): string {
  if (status === 413 || says(TOO_LONG)) return "the conversation is too long for the model";
  if (says(FILTERED)) return "the content filter of the model provider refused the conversation";
  return "the model refused this request as invalid";
}

function quirkOf(words: string[], param: string): Quirk | null {
  const code = words[0] ?? "";
  const isUntaken = code === "" || NOT_TAKEN.some((each) => code.startsWith(each));
  return isUntaken ? QUIRKS.find((each) => each === param) ?? null : null;
}

/** The provider's code and type in lower case, and the parameter it names; empty where there is none. */
function readRefusal(text: string): { words: string[]; param: string } {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return { words: [], param: "" };
  }
  const error = ((body as JsonObject | null)?.["error"] ?? body) as JsonObject | null;
  const word = (value: unknown) => typeof value === "string" ? value.toLowerCase() : "";
  return { words: [word(error?.["code"]), word(error?.["type"])], param: word(error?.["param"]) };
}
