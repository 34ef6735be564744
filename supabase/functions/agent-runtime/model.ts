// How a model provider is asked: Chat Completions, always streamed, a few tries until the first word.
//
// A try that failed before its first word may be repeated, at most twice; none is repeated after it, because
// that word was shown already. What a model does not take is left out, and it is asked again.

import type { JsonObject } from "../_shared/errors.ts";
import { Lines, LineTooLong } from "../_shared/sse.ts";
import type { World } from "../_shared/world.ts";
import type { Message } from "./execute_body.ts";
import { Broken, Turn } from "./turn.ts";
import { judge, type Quirk, type Setback, unavailable } from "./verdict.ts";

const MAX_RETRIES = 2;
const PAUSE_MS = 500;
const SILENCE_MS = 60_000;
// After the last word of an answer only its usage is to come.
const LAST_WORDS_MS = 5_000;
const END_MS = 250;
const MAX_REFUSAL_CHARS = 64_000;
const UNREACHABLE = "the model provider cannot be reached; try again later";
const LATE = "the model provider did not answer in time; try again later";

export interface Prompt {
  model: string;
  messages: readonly Message[];
  temperature: number | null;
  maxTokens: number | null;
  outputSchema: JsonObject | null;
}

/** Who follows one call; `signal` ends it. */
export interface Listener {
  tell(text: string): void;
  signal: AbortSignal;
}

export class Model {
  constructor(private readonly url: string, private readonly key: string, private readonly world: World) {}

  /** Throws `model_unavailable`. */
  async ask(prompt: Prompt, listener: Listener): Promise<Turn> {
    const quirks = new Set<Quirk>();
    for (let retries = 0;;) {
      const result = await this.attempt(prompt, quirks, listener);
      if (result instanceof Turn) return result;
      this.world.log("model_call_failed", { why: result.why });
      if (result.quirk !== null && !quirks.has(result.quirk)) {
        quirks.add(result.quirk);
        continue;
      }
      if (!result.mayRetry || retries === MAX_RETRIES || listener.signal.aborted) throw result.error;
      // Three quarters to the whole of a pause that doubles, so that those who failed together do not return together.
      await pause(PAUSE_MS * 2 ** retries * (0.75 + Math.random() / 4), listener.signal);
      retries += 1;
    }
  }

  private async attempt(
    prompt: Prompt,
    quirks: ReadonlySet<Quirk>,
    listener: Listener,
  ): Promise<Turn | Setback> {
    const turn = new Turn();
    try {
      const answer = await this.post(prompt, quirks, listener.signal);
      if (answer.status !== 200) return judge(answer.status, await refusalOf(answer), prompt.model);
      await follow(answer, turn, listener);
      return turn;
    } catch (error) {
      if (turn.isComplete) return turn;
      return this.setback(error, turn, listener.signal);
    }
  }

  private post(prompt: Prompt, quirks: ReadonlySet<Quirk>, signal: AbortSignal): Promise<Response> {
    const headers = {
      "authorization": `Bearer ${this.key}`,
      "content-type": "application/json",
      "accept": "text/event-stream",
      "x-client-request-id": crypto.randomUUID(),
    };
    const body = JSON.stringify(bodyOf(prompt, quirks));
    return this.world.fetch(`${this.url}/chat/completions`, {
      method: "POST",
      headers,
      body,
      signal,
      redirect: "error",
    });
  }

  private setback(error: unknown, turn: Turn, signal: AbortSignal): Setback {
    if (signal.aborted) return unavailable(LATE, "late");
    const why = error instanceof Broken || error instanceof LineTooLong ? "broken" : "connection";
    const sentence = turn.hasBegun || error instanceof Broken
      ? "the model's answer broke off; try again later"
      : UNREACHABLE;
    return unavailable(sentence, why, !turn.hasBegun);
  }
}

function bodyOf(prompt: Prompt, quirks: ReadonlySet<Quirk>): JsonObject {
  const limit = quirks.has("max_tokens") ? "max_completion_tokens" : "max_tokens";
  const schema = { type: "json_schema", json_schema: { name: "answer", schema: prompt.outputSchema } };
  return {
    model: prompt.model,
    messages: prompt.messages.map(({ role, content }) => ({ role, content })),
    stream: true,
    ...(quirks.has("stream_options") ? {} : { stream_options: { include_usage: true } }),
    ...(prompt.temperature === null || quirks.has("temperature") ? {} : { temperature: prompt.temperature }),
    ...(prompt.maxTokens === null ? {} : { [limit]: prompt.maxTokens }),
    ...(prompt.outputSchema === null ? {} : { response_format: schema }),
  };
}

async function refusalOf(answer: Response): Promise<string> {
  return (await answer.text()).slice(0, MAX_REFUSAL_CHARS);
}

/** Read the answer into `turn`; throws when it ends before it is whole. */
async function follow(answer: Response, turn: Turn, { tell }: Listener): Promise<void> {
  const reader = (answer.body ?? new Blob().stream()).pipeThrough(new TextDecoderStream()).getReader();
  const lines = new Lines();
  try {
    while (!turn.isDone) {
      const { done, value = "" } = await within(
        reader.read(),
        turn.finish === null ? SILENCE_MS : LAST_WORDS_MS,
      );
      const text = takeAll(done ? lines.end() : lines.feed(value), turn, tell);
      if (done && text === "" && !turn.isComplete) throw new Broken("it ended early");
      if (done) break;
    }
    if (!turn.isComplete) throw new Broken("it ended early");
    // An answer that is over ends by itself, and its connection can be used again.
    await within(reader.read(), END_MS).catch(() => undefined);
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** What came together with a failure came before it: it is told, however the network has packed it. */
function takeAll(events: string[], turn: Turn, tell: (text: string) => void): string {
  let text = "";
  try {
    for (const event of events) text += turn.isDone ? "" : turn.take(event);
  } finally {
    if (text !== "") tell(text);
  }
  return text;
}

async function within<T>(work: Promise<T>, limitMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Broken("it is silent")), limitMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
