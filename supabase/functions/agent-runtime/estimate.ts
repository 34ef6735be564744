// How many tokens a text or a conversation has, when the provider does not say (`heavy_agents/llm/estimate.py`).
//
// Pure, and a rule rather than a tokenizer: one token for every three UTF-8 bytes, and four for each message.

import type { Message } from "./execute_body.ts";

const BYTES_PER_TOKEN = 3;
const TOKENS_PER_MESSAGE = 4;
const ENCODER = new TextEncoder();

export function estimateTokens(said: string | readonly Message[]): number {
  if (typeof said === "string") return Math.ceil(ENCODER.encode(said).length / BYTES_PER_TOKEN);
  return said.reduce((sum, each) => sum + TOKENS_PER_MESSAGE + estimateTokens(each.content), 0);
}
