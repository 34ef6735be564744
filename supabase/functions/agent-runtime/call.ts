// One request to the backend: made, left when its time is over, and what its answer says of the run.

import { HeavyError } from "../_shared/errors.ts";
import { parsePrefer, type Preference, waitLine } from "../_shared/preferences.ts";
import type { Asked, Room } from "./room.ts";

export const RUN = /^\/api\/runs\/([0-9a-f-]{36})$/;
const LONGEST_WAIT_S = 120;
// A backend that has waited in vain must still be able to say so in time.
const TO_ANSWER_S = 10;
const UNREACHED = "the backend cannot be reached";
const STRANGE = "the backend gave no answer of its own";
const WITH_KEY = "try again, with the same Idempotency-Key";
const WITHOUT_KEY = "a run may have begun all the same, so look at your runs before you try again";
// Of the codes from 500 on those that the backend says only before it accepts a run.
const BEFORE_A_RUN = new Set(["draining", "not_configured"]);

/** The run does not mind being left. */
export class Call {
  /** The client's own. */
  readonly preference: Preference;
  private readonly leaving = new AbortController();

  constructor(
    private readonly room: Room,
    private readonly asked: Asked,
    private readonly url: string,
    private readonly headers: Record<string, string>,
  ) {
    this.preference = parsePrefer(asked.request.headers.get("prefer"));
  }

  /**
   * Throws `backend_failed` when nobody knows what came of it. `endsWithClient`: nobody else has to know.
   */
  async answer(endsWithClient: boolean): Promise<Response> {
    const { world, limits } = this.room;
    const leave = () => this.leaving.abort();
    const client = this.asked.request.signal;
    if (endsWithClient) client.addEventListener("abort", leave);
    const timer = setTimeout(leave, this.leftMs(limits.headMs));
    try {
      const answer = await world.fetch(this.url, this.options());
      if (isOurs(answer)) return isAccepted(answer) ? answer : await whole(answer);
      world.log("backend_answered_strangely", { status: answer.status });
    } catch {
      throw this.failure(UNREACHED);
    } finally {
      clearTimeout(timer);
      // From now on its body tells; some platforms abort the signal when an answer begins.
      client.removeEventListener("abort", leave);
    }
    leave();
    throw this.failure(STRANGE);
  }

  leftMs(limitMs: number): number {
    return Math.max(this.asked.beganMs + limitMs - this.room.world.clock.monotonicMs(), 0);
  }

  private options(): RequestInit {
    return {
      method: "POST",
      headers: { ...this.headers, ...this.wait() },
      body: this.asked.bytes,
      signal: this.leaving.signal,
      redirect: "manual",
    };
  }

  /** How long the backend is to wait for the run's end. The events of a run begin at once. */
  private wait(): Record<string, string> {
    if (this.asked.wantsStream && !this.preference.respondAsync) return {};
    const leftS = Math.floor(this.leftMs(this.room.limits.headMs) / 1000) - TO_ANSWER_S;
    return { prefer: waitLine(this.preference, Math.max(Math.min(LONGEST_WAIT_S, leftS), 0)) };
  }

  private failure(what: string): HeavyError {
    const hasKey = this.asked.request.headers.has("idempotency-key");
    return new HeavyError("backend_failed", `${what}; ${hasKey ? WITH_KEY : WITHOUT_KEY}`);
  }
}

/** A run that was waited for and failed is a problem, too, but one that has a place. */
export function isAccepted(answer: Response): boolean {
  return answer.ok || RUN.test(answer.headers.get("location") ?? "");
}

/** Whether it is certain that there is no run: `answer`, which is not accepted, says so in the backend's words. */
export async function isRefused(answer: Response): Promise<boolean> {
  const { type, code } = await answer.clone().json().catch(() => null) ?? {};
  if (typeof code !== "string" || type !== `urn:switchyard:error:${code}`) return false;
  return answer.status < 500 || BEFORE_A_RUN.has(code);
}

export function mediaType(answer: Response): string {
  return (answer.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

/** Proxies in front of a backend answer, too, when it is away: never with a problem document. */
function isOurs(answer: Response): boolean {
  const type = mediaType(answer);
  if (answer.status >= 400) return type === "application/problem+json";
  return answer.ok && (type === "application/json" || type === "text/event-stream");
}

/** `answer` with all of its body. */
async function whole(answer: Response): Promise<Response> {
  const { status, headers } = answer;
  return new Response(await answer.arrayBuffer(), { status, headers });
}
