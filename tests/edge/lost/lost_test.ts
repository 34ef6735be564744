// A run whose acceptance was never heard of here: the core in this process, an answer that is lost, and all else real.

import assert from "node:assert/strict";
import type { World } from "../../../supabase/functions/_shared/world.ts";
import { createApp } from "../../../supabase/functions/agent-runtime/app.ts";
import {
  agent,
  answered,
  audited,
  BACKEND_URL,
  balance,
  bodyOf,
  kinds,
  person,
  problem,
  runsOf,
  say,
} from "../contract/ground.ts";

/** Of the backend's answers the first does not arrive. */
function losing(): World {
  let isLost = false;
  return {
    fetch: async (input, init) => {
      const answer = await fetch(input, init);
      if (isLost || !`${input}`.startsWith(BACKEND_URL)) return answer;
      isLost = true;
      await answer.body?.cancel();
      throw new TypeError("the connection was reset");
    },
    env: (name) => Deno.env.get(name),
    clock: { nowMs: () => Date.now(), monotonicMs: () => performance.now() },
    resolve: () => Promise.resolve([]),
    background: () => undefined,
    log: () => undefined,
  };
}

Deno.test("whoever asks again for a run that was accepted unheard pays for it with what was held", async () => {
  const app = createApp(losing());
  const who = await person({ balance: 3 });
  const body = JSON.stringify(bodyOf(await agent(who, { is_heavy: true, price: { flat: 3 } })));
  const headers = {
    "content-type": "application/json",
    "authorization": `Bearer ${who.token}`,
    "idempotency-key": crypto.randomUUID(),
  };
  const ask = () => app(new Request("http://localhost/", { method: "POST", headers, body }));
  await say("fine");

  await problem(await ask(), 502, "backend_failed");
  assert.deepEqual(await balance(who), { balance: 3, held: 3 });
  const { runId } = await answered(await ask());

  assert.deepEqual((await runsOf(who)).map(({ id }) => id), [runId]);
  assert.deepEqual(await kinds(who), ["hold", "settle"]);
  assert.deepEqual(await balance(who), { balance: 0, held: 0 });
  await audited();
});
