// The edge function `agent-runtime`: the app in the world of the platform.

import { createApp } from "./app.ts";

// The platform's own: work that it waits for before it ends this process. Elsewhere there is no such thing.
const platform = globalThis as { EdgeRuntime?: { waitUntil(work: Promise<unknown>): void } };

Deno.serve(createApp({
  fetch: (...request) => fetch(...request),
  env: (name) => Deno.env.get(name),
  clock: { nowMs: () => Date.now(), monotonicMs: () => performance.now() },
  resolve: addressesOf,
  background: (work) => platform.EdgeRuntime?.waitUntil(work),
  // deno-lint-ignore no-console
  log: (event, facts) => console.log(JSON.stringify({ event, ...facts })),
}));

async function addressesOf(host: string): Promise<string[]> {
  const found = await Promise.allSettled([Deno.resolveDns(host, "A"), Deno.resolveDns(host, "AAAA")]);
  return found.flatMap((each) => each.status === "fulfilled" ? each.value : []);
}
