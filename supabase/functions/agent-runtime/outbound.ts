// How an address is asked that an agent's owner has written: only public ones, over https, a little and not for long.
//
// The name is looked up before it is asked, and every address it has must be public. `fetch` looks it up again, so
// a name that changes in between could still lead elsewhere; there it must prove itself by a certificate for that
// name, which no private service has. Redirects are not followed.

import type { World } from "../_shared/world.ts";
import { isPublic } from "./addresses.ts";

const WITHIN_MS = 10_000;
const MAX_BYTES = 64_000;
const MAX_URL_CHARS = 8192;
// deno-lint-ignore no-control-regex
const UNSAFE = /[\x00-\x20\x7f\\]/;
const LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const NAME = new RegExp(`^(?=.{1,253}$)${LABEL}(?:\\.${LABEL})+$`);
const NUMBER = /^(?:[0-9]+|0x[0-9a-f]*)$/;
const PRIVATE_SUFFIXES = [".localhost", ".localdomain", ".local", ".internal", ".home.arpa", ".onion"];

/** It may not be asked, or did not answer well; `message` is our own word for it and holds no address. */
export class OutboundFailed extends Error {}

/** The text of a 2xx answer; name, answer and all within `withinMs`. */
export async function ask(
  world: World,
  url: string,
  request: RequestInit,
  withinMs = WITHIN_MS,
): Promise<string> {
  const target = readTarget(url);
  const signal = AbortSignal.timeout(withinMs);
  await checkAddresses(world, target.hostname, signal);
  let answer: Response;
  try {
    answer = await world.fetch(target, { ...request, redirect: "manual", signal });
  } catch {
    throw new OutboundFailed("it cannot be reached");
  }
  if (!answer.ok) {
    await answer.body?.cancel().catch(() => undefined);
    throw new OutboundFailed(`it answered with status ${answer.status}`);
  }
  return await textOf(answer);
}

/** Where `url` leads, as far as its text tells. */
export function readTarget(url: string): URL {
  if (url.length > MAX_URL_CHARS || UNSAFE.test(url) || !URL.canParse(url)) {
    throw new OutboundFailed("its address cannot be read");
  }
  const target = new URL(url);
  if (target.protocol !== "https:" || target.port !== "") {
    throw new OutboundFailed("only https on port 443 is asked");
  }
  if (target.username !== "" || target.password !== "") {
    throw new OutboundFailed("its address has a user name in it");
  }
  const host = target.hostname.replace(/\.$/, "");
  const last = host.slice(host.lastIndexOf(".") + 1);
  if (!NAME.test(host) || NUMBER.test(last) || PRIVATE_SUFFIXES.some((each) => host.endsWith(each))) {
    throw new OutboundFailed("its address is not a public name");
  }
  return target;
}

async function checkAddresses(world: World, host: string, signal: AbortSignal): Promise<void> {
  const found = await until(signal, world.resolve(host)).catch(() => [] as string[]);
  if (found.length === 0) throw new OutboundFailed("its name is not known");
  if (!found.every(isPublic)) throw new OutboundFailed("its name leads into a private network");
}

/** What `work` comes to, or why it is not waited for any longer. */
function until<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop);
  return Promise.race([work, promise]).finally(() => signal.removeEventListener("abort", stop));
}

async function textOf(answer: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  try {
    for await (const part of answer.body ?? []) {
      size += part.length;
      if (size > MAX_BYTES) throw new OutboundFailed(`it answered with more than ${MAX_BYTES} bytes`);
      text += decoder.decode(part, { stream: true });
    }
  } catch (error) {
    throw error instanceof OutboundFailed ? error : new OutboundFailed("its answer broke off");
  }
  return text + decoder.decode();
}
