// What the chunks of a model's answer add up to (`heavy_agents/llm/accumulate.py`, without tool calls). Pure.
//
// What may differ between providers is taken in every form seen; what is nonsense throws `Broken`.

import type { Json, JsonObject } from "../_shared/errors.ts";
import { estimateTokens } from "./estimate.ts";

const MAX_ANSWER_CHARS = 500_000;
// More than any model takes or gives at once; above it the provider has miscounted.
const MAX_TOKENS = 100_000_000;
const DONE = "[DONE]";

/** A 200 whose stream is cut, silent or nonsense; `message` is our own word for it, never the provider's. */
export class Broken extends Error {}

export interface Tokens {
  input: number;
  output: number;
}

export class Turn {
  /** The first word of any kind has come. */
  hasBegun = false;
  /** The provider said that nothing more comes. */
  isDone = false;
  finish: string | null = null;
  text = "";
  private refusal = "";
  private usage: Json = null;

  /** Whether this is a whole answer, whatever happens to the connection now. */
  get isComplete(): boolean {
    return this.finish !== null || (this.isDone && this.hasBegun);
  }

  /** What the model has to say: its text, or why it refuses to answer. */
  get said(): string {
    return this.text || this.refusal;
  }

  /** Add one event of the stream; returns the text it has brought. */
  take(event: string): string {
    if (event.trim() === DONE) {
      this.isDone = true;
      return "";
    }
    const chunk = objectIn(parsed(event), "a chunk is no JSON object");
    if (chunk["error"]) throw new Broken("the provider told an error in the stream");
    this.usage = chunk["usage"] ?? this.usage;
    const choices = (chunk["choices"] ?? []) as Json;
    if (!Array.isArray(choices)) throw new Broken("choices are malformed");
    return choices.map((each) => this.takeChoice(objectIn(each, "choices are malformed"))).join("");
  }

  /** As the provider counted, or estimated from what has come. */
  tokens(inputEstimate: number): Tokens {
    const { prompt_tokens: input, completion_tokens: output } = (this.usage ?? {}) as JsonObject;
    if (isCount(input) && input > 0 && isCount(output)) return { input, output };
    return { input: inputEstimate, output: estimateTokens(this.said) };
  }

  private takeChoice(choice: JsonObject): string {
    if ((choice["index"] ?? 0) !== 0) return "";
    const text = this.takeDelta(objectIn(choice["delta"] ?? {}, "a chunk is malformed"));
    const finish = choice["finish_reason"];
    if (finish === "error") throw new Broken("the provider told an error in the stream");
    if (typeof finish === "string" && finish !== "") this.finish = finish;
    return text;
  }

  private takeDelta(delta: JsonObject): string {
    const { content = null, refusal = null, reasoning_content: reasoning = delta["reasoning"] ?? null } =
      delta;
    const text = storable(textOf(content));
    if (typeof refusal === "string") this.refusal += storable(refusal);
    this.hasBegun ||= text !== "" || this.refusal !== "" ||
      (typeof reasoning === "string" && reasoning !== "");
    this.text += text;
    if (this.said.length > MAX_ANSWER_CHARS) {
      // It was bought and shown so far, so it ends as an answer that reached its limit.
      this.finish = "length";
      this.isDone = true;
    }
    return text;
  }
}

function parsed(event: string): unknown {
  try {
    return JSON.parse(event);
  } catch {
    throw new Broken("a chunk is no JSON");
  }
}

function objectIn(value: unknown, otherwise: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Broken(otherwise);
  return value as JsonObject;
}

/** A text, or the texts of a list of parts. */
function textOf(content: Json): string {
  if (content === null) return "";
  if (Array.isArray(content)) {
    return content.map((part) => textOf((part as JsonObject)?.["text"] ?? null)).join("");
  }
  if (typeof content !== "string") throw new Broken("a text is malformed");
  return content;
}

/** Without what the database cannot keep. */
function storable(text: string): string {
  return text.replaceAll("\0", "\ufffd");
}

function isCount(value: Json | undefined): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_TOKENS;
}
