// What a light agent asks its model (`heavy_agents/agents/chat_thread.py`, `chat_fit.py`, `allowance.py`). Pure.
//
// The system prompt and the knowledge base, then the conversation; what the agent's functions said stands right
// before the user's newest message. Of a conversation that is too long the oldest messages are left out, never the
// newest of the user and what follows it. Where tokens are paid for, the answer is no longer than what is held pays.

import { invalidBody } from "../_shared/errors.ts";
import { estimateTokens } from "./estimate.ts";
import type { Message } from "./execute_body.ts";
import type { Prompt } from "./model.ts";
import { type Plan, roomTokens } from "./plan.ts";
import type { Price } from "./price.ts";

export const LEFT_OUT = "[earlier messages of this conversation were left out]";
const TOO_LONG = "the conversation is longer than this agent can take in; send less at once";
const TOO_DEAR = "are longer than what an answer of this agent may cost; send less at once";
// What an answer may have when the agent does not say and tokens are paid for: models give at least as much.
const MOST_BY_DEFAULT = 16_384;

/** `notes` are of the functions; `price` is null where nobody charges. */
export interface Matter {
  messages: readonly Message[];
  notes: readonly string[];
  price: Price | null;
}

/** Throws `invalid_body` when the conversation is too long for the agent or its price. */
export function promptOf(plan: Plan, { messages, notes, price }: Matter): Prompt {
  const thread = threadOf(plan, messages, notes.map(systemMessage));
  const { model, temperature, outputSchema } = plan;
  return { model, temperature, outputSchema, messages: thread, maxTokens: maxTokensOf(plan, thread, price) };
}

function threadOf(plan: Plan, messages: readonly Message[], notes: readonly Message[]): Message[] {
  const opening = openingOf(plan);
  const head = opening === "" ? [] : [systemMessage(opening)];
  const place = Math.max(messages.findLastIndex((each) => each.role === "user"), 0);
  const [history, newest] = [messages.slice(0, place), messages.slice(place)];
  const kept = [...head, ...notes, ...newest];
  const room = roomTokens(plan) - estimateTokens(kept);
  if (estimateTokens(history) <= room) return [...head, ...history, ...notes, ...newest];
  const note = systemMessage(LEFT_OUT);
  const left = room - estimateTokens([note]);
  if (left < 0) throw invalidBody([{ field: "messages", message: TOO_LONG }]);
  return [...head, note, ...newestThatFit(history, left), ...notes, ...newest];
}

function newestThatFit(history: readonly Message[], room: number): readonly Message[] {
  let total = estimateTokens(history);
  let start = 0;
  for (; start < history.length && total > room; start++) {
    total -= estimateTokens(history.slice(start, start + 1));
  }
  return history.slice(start);
}

function maxTokensOf(plan: Plan, thread: readonly Message[], price: Price | null): number | null {
  if (price === null || price.perThousandTokens === 0) return plan.maxTokens;
  const paid = Math.floor(((price.ceiling - price.flat) * 1000) / price.perThousandTokens);
  const left = paid - estimateTokens(thread);
  if (left <= 0) throw invalidBody([{ field: "messages", message: TOO_DEAR }]);
  return Math.min(plan.maxTokens ?? MOST_BY_DEFAULT, left);
}

function openingOf(plan: Plan): string {
  const entries = plan.knowledge.map(({ title, content }) =>
    title === null ? content : `## ${title}\n${content}`
  );
  const knowledge = entries.length === 0 ? "" : ["# Knowledge base", ...entries].join("\n\n");
  return [plan.systemPrompt, knowledge].filter((part) => part !== "").join("\n\n");
}

function systemMessage(content: string): Message {
  return { role: "system", content };
}
