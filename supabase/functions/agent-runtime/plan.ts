// What a light agent's row asks for (`heavy_agents/agents/chat_plan.py`, without what needs a run). Pure.

import { HeavyError, type Json, type JsonObject } from "../_shared/errors.ts";

const MAX_TOKENS = 10_000_000;
const MAX_TEMPERATURE = 2;
const CONTEXT_TOKENS = 100_000;
const KNOWN = ["context_tokens", "deadline_s", "max_turns", "output_schema", "token_budget"];

interface Knowledge {
  title: string | null;
  content: string;
}

/**
 * `maxTokens` and `temperature`: null leaves them to the provider. `contextTokens`: of one call, its answer
 * included. `outputSchema`: what the model is told its JSON must be; only a run holds it to that.
 */
export interface Plan {
  model: string;
  systemPrompt: string;
  knowledge: Knowledge[];
  temperature: number | null;
  maxTokens: number | null;
  contextTokens: number;
  outputSchema: JsonObject | null;
}

/** Throws `not_configured`, which names what in the row is wrong and what it wants. */
export function readPlan(row: JsonObject, { defaultModel }: { defaultModel: string }): Plan {
  const config = objectIn(row["config"]);
  const unknown = Object.keys(config).sort().find((name) => !KNOWN.includes(name));
  if (unknown !== undefined) {
    throw wrong(
      `config has an unknown part '${unknown.slice(0, 40)}'; a chat agent's has ${KNOWN.join(", ")}`,
    );
  }
  if (row["kind"] !== "chat") {
    throw wrong(
      `kind is '${String(row["kind"]).slice(0, 40)}', and only chat is answered at the edge; make it heavy`,
    );
  }
  return {
    model: textIn(row["ai_model"]) || defaultModel,
    systemPrompt: textIn(row["system_prompt"]),
    knowledge: knowledgeIn(row["knowledge_base"] ?? null),
    temperature: temperatureIn(row["temperature"] ?? null),
    maxTokens: countIn(row, "max_tokens"),
    contextTokens: countIn(config, "context_tokens") ?? CONTEXT_TOKENS,
    outputSchema: schemaIn(config["output_schema"] ?? null),
  };
}

/** What of the context is left for the question, with room for an answer. */
export function roomTokens(plan: Plan): number {
  return plan.contextTokens - Math.min(plan.maxTokens ?? 0, Math.floor(plan.contextTokens / 2));
}

/** Entries without content are left out. */
function knowledgeIn(value: Json): Knowledge[] {
  if (value === null) return [];
  if (!Array.isArray(value)) throw wrong("knowledge_base wants a list of {title?, content}");
  return value.map(objectIn).flatMap(({ title, content }) => {
    if (typeof content !== "string" || content.trim() === "") return [];
    return [{ title: typeof title === "string" && title !== "" ? title : null, content }];
  });
}

function temperatureIn(value: Json): number | null {
  if (value === null || (typeof value === "number" && value >= 0 && value <= MAX_TEMPERATURE)) return value;
  throw wrong(`temperature is ${JSON.stringify(value)}, wants a number from 0 to ${MAX_TEMPERATURE}`);
}

function countIn(row: JsonObject, name: string): number | null {
  const value = row[name] ?? null;
  if (value === null) return null;
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= MAX_TOKENS) return value;
  throw wrong(`${name} is ${JSON.stringify(value)}, wants a whole number from 1 to ${MAX_TOKENS}`);
}

function schemaIn(value: Json): JsonObject | null {
  if (value === null) return null;
  if (typeof value !== "object" || Array.isArray(value)) {
    throw wrong("output_schema wants a JSON Schema object");
  }
  return value;
}

function objectIn(value: Json | undefined): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}

function textIn(value: Json | undefined): string {
  return typeof value === "string" ? value.trim() : "";
}

function wrong(what: string): HeavyError {
  return new HeavyError("not_configured", `the agent's ${what}`);
}
