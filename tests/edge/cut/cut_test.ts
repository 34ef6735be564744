// A run whose stream is cut here goes on at the backend: the core in this process, with less patience, and all else real.

import assert from "node:assert/strict";
import type { World } from "../../../supabase/functions/_shared/world.ts";
import { createApp } from "../../../supabase/functions/agent-runtime/app.ts";
import { LIMITS } from "../../../supabase/functions/agent-runtime/room.ts";
import { agent, bodyOf, kinds, messagesIn, person, say, streamed } from "../contract/ground.ts";

const WORLD: World = {
  fetch: (...request) => fetch(...request),
  env: (name) => Deno.env.get(name),
  // It stands: what counts is the time from the backend's answer on.
  clock: { nowMs: () => Date.now(), monotonicMs: () => 0 },
  resolve: () => Promise.resolve([]),
  background: () => undefined,
  log: () => undefined,
};

Deno.test("the platform's own limits are kept", () => {
  assert.equal(LIMITS.forwardMs, 120_000);
  assert.ok(LIMITS.headMs < 150_000 && LIMITS.lightMs < 150_000);
  // The look at the agent, a hold and the backend's answer come after it.
  assert.ok(LIMITS.bodyMs <= LIMITS.headMs - 50_000);
});

Deno.test("no event is missed or doubled between the two", async () => {
  const app = createApp(WORLD, { ...LIMITS, forwardMs: 700 });
  const who = await person();
  const headers = { "content-type": "application/json", authorization: `Bearer ${who.token}` };
  const body = JSON.stringify(bodyOf(await agent(who, { is_heavy: true }), "go", { stream: true }));

  // However slow this machine is, one of them is longer than that.
  for (let words = 40;; words *= 2) {
    const text = Array.from({ length: words }, (_, n) => `word${n}`).join(" ");
    await say(text, { between_s: 0.05 });
    const answer = await app(new Request("http://localhost/", { method: "POST", headers, body }));
    const here = messagesIn(await answer.text());
    const cut = here.pop()!;
    if (cut.type === "done") continue;

    assert.equal(cut.type, "reconnect");
    const last = { accept: "text/event-stream", "last-event-id": `${here.at(-1)?.seq ?? 0}` };
    const there = await streamed(await fetch(cut.eventsUrl, { headers: { ...headers, ...last } }));
    const all = [...here, ...there];
    assert.ok(all.every(({ runId }) => runId === cut.runId));
    assert.deepEqual(all.map(({ seq }) => seq), all.map((_, place) => place + 1));
    assert.equal(all.filter(({ type }) => type === "chunk").map(({ content }) => content).join(""), text);
    assert.equal(all.at(-1)!.type, "done");
    break;
  }
  assert.deepEqual(new Set(await kinds(who)), new Set(["hold", "settle"]));
});
