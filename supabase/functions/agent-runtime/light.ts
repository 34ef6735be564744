// How a light agent is answered: held for, its functions carried out, the model asked, the answer charged.
//
// What can be refused is refused before the hold, and nothing is done before it: whoever cannot pay or sends
// a key again causes nothing. Once it is held the work goes on without the client, is charged before its last
// word is sent, and released if it came to nothing.

import { HeavyError, internalError, invalidBody, type JsonObject } from "../_shared/errors.ts";
import { type Hold, NOTHING_HELD, Purse } from "./credits.ts";
import { estimateTokens } from "./estimate.ts";
import { type Firing, firingOf, newestOf, readFunctions } from "./firing.ts";
import { carryOut } from "./functions.ts";
import { Model, type Prompt } from "./model.ts";
import { type Plan, readPlan } from "./plan.ts";
import { chargeOf, parsePrice, type Price } from "./price.ts";
import { promptOf } from "./prompt.ts";
import type { Asked, Room } from "./room.ts";
import type { Turn } from "./turn.ts";

const REPLY_CREDITS = 1;

/** What was answered, in the words of the wire. */
export interface Answer extends JsonObject {
  response: string;
  executionTime: number;
  creditsUsed: number;
  usage: JsonObject;
}

/** One answer under way; `tell` is given its text as it comes. */
export type Work = (tell: (text: string) => void) => Promise<Answer>;

/** Hold for the answer; throws what a client hears before there is one. */
export async function begin(room: Room, asked: Asked, row: JsonObject): Promise<Work> {
  checkAsked(asked);
  const price = parsePrice(row["price"] ?? {});
  const firing = firingOf(readFunctions((row["functions"] ?? []) as JsonObject[]), asked.body.messages);
  const plan = readPlan(row, room.settings);
  const model = firing.reply === null ? modelOf(room) : null;
  if (model !== null) promptFor(room, asked, { plan, price, notes: [] });
  const credits = firing.reply === null ? price.ceiling : REPLY_CREDITS;
  const hold = await holdFor(room, asked, credits);
  const began = room.world.clock.monotonicMs();
  return async (tell) => {
    try {
      const { response, used } = model === null
        ? await replied(room, asked, firing, tell)
        : await new Asking(room, asked, { plan, price, firing, model }).answer(tell);
      const executionTime = Math.round(room.world.clock.monotonicMs() - began);
      const due = model === null ? REPLY_CREDITS : dueFor(price, used, executionTime);
      const usage = usageOf(used);
      const creditsUsed = await hold.settle(due, usage);
      return { response, executionTime, creditsUsed, usage };
    } catch (error) {
      throw new NotAnswered(errorIn(room, error), await hold.release());
    }
  };
}

/** Why there is no answer; `creditsUsed` is 0, but for one that was charged and whose charge was not confirmed. */
export class NotAnswered extends Error {
  constructor(readonly error: HeavyError, readonly creditsUsed: number) {
    super(error.detail);
  }
}

function errorIn(room: Room, thrown: unknown): HeavyError {
  if (thrown instanceof HeavyError) return thrown;
  room.world.log("answer_broke", { kind: thrown instanceof Error ? thrown.name : "unknown" });
  return internalError();
}

/** What was bought for an answer. */
interface Used {
  calls: number;
  input: number;
  output: number;
}

const NOTHING_USED: Used = { calls: 0, input: 0, output: 0 };

function checkAsked({ body }: Asked): void {
  if (newestOf(body.messages).trim() === "") {
    throw invalidBody([{ field: "messages", message: "wants at least one of role user with a text" }]);
  }
  if (body.conversationId !== null) {
    const message = "is kept by runs, and a light agent makes none; send its turns in messages";
    throw invalidBody([{ field: "conversationId", message }]);
  }
}

function modelOf(room: Room): Model {
  const { modelUrl, modelKey } = room.settings;
  if (modelKey === null) {
    throw new HeavyError("not_configured", "OPENAI_API_KEY: not set, wants the key of the model provider");
  }
  return new Model(modelUrl, modelKey, room.world);
}

/** Throws `invalid_body` when the conversation is too long for the agent or its price. */
function promptFor(
  { settings }: Room,
  { body: { messages } }: Asked,
  { plan, price, notes }: { plan: Plan; price: Price; notes: readonly string[] },
): Prompt {
  return promptOf(plan, { messages, notes, price: settings.creditsOwner === "off" ? null : price });
}

function holdFor(room: Room, asked: Asked, credits: number): Promise<Hold> {
  if (room.settings.creditsOwner === "off" || credits < 1) return Promise.resolve(NOTHING_HELD);
  return new Purse(room.database, room.world, asked.caller.userId).holdForAnswer(
    asked.key,
    credits,
    asked.body.agentId,
  );
}

async function replied(
  room: Room,
  asked: Asked,
  firing: Firing,
  tell: (text: string) => void,
): Promise<{ response: string; used: Used }> {
  await carryOut(room.world, firing.functions, occasionOf(asked));
  const response = firing.reply ?? "";
  tell(response);
  return { response, used: NOTHING_USED };
}

interface Task {
  plan: Plan;
  price: Price;
  firing: Firing;
  model: Model;
}

/** The functions and the model, within the time there is. */
class Asking {
  constructor(private readonly room: Room, private readonly asked: Asked, private readonly task: Task) {}

  async answer(tell: (text: string) => void): Promise<{ response: string; used: Used }> {
    const { plan, price, firing, model } = this.task;
    const { world, limits } = this.room;
    const notes = await carryOut(world, firing.functions, occasionOf(this.asked));
    const prompt = promptFor(this.room, this.asked, { plan, price, notes });
    const ending = new AbortController();
    const leftMs = Math.max(this.asked.beganMs + limits.lightMs - world.clock.monotonicMs(), 0);
    const timer = setTimeout(() => ending.abort(), leftMs);
    try {
      const turn = await model.ask(prompt, { tell, signal: ending.signal });
      return {
        response: spoken(turn, tell),
        used: { calls: 1, ...turn.tokens(estimateTokens(prompt.messages)) },
      };
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What the model said, or says instead; throws `model_unavailable` when it is nothing. */
function spoken(turn: Turn, tell: (text: string) => void): string {
  if (turn.said === "") {
    const why = turn.finish === "content_filter"
      ? "the model's content filter stopped the answer"
      : "the model gave an empty answer; try again later";
    throw new HeavyError("model_unavailable", why);
  }
  if (turn.text === "") tell(turn.said);
  return turn.said;
}

function occasionOf(asked: Asked): { agentId: string; message: string } {
  return { agentId: asked.body.agentId, message: newestOf(asked.body.messages) };
}

function dueFor(price: Price, used: Used, elapsedMs: number): number {
  return chargeOf(price, { tokens: used.input + used.output, elapsedMs });
}

/** By wire names, without zeros. */
function usageOf({ calls, input, output }: Used): JsonObject {
  const named = { modelCalls: calls, inputTokens: input, outputTokens: output };
  return Object.fromEntries(Object.entries(named).filter(([, count]) => count > 0));
}
