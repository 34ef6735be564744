// A request that is sent again joins its run, whatever credits are left: the run is paid for.

import assert from "node:assert/strict";
import {
  agent,
  ask,
  audited,
  balance,
  bodyOf,
  kinds,
  OWNER,
  person,
  problem,
  runsOf,
  say,
  until,
} from "./ground.ts";

const ASYNC = { prefer: "respond-async" };

Deno.test("a run that took the last credit is joined by its key, and no other begins", async () => {
  const who = await person({ balance: 1 });
  const body = bodyOf(await agent(who, { is_heavy: true, price: { flat: 1 } }));
  const key = { "idempotency-key": crypto.randomUUID() };
  await say("fine", { before_first_s: 0.5 });

  const first = await runOf(ask(who, body, { ...key, ...ASYNC }));
  assert.equal(await runOf(ask(who, body, { ...key, ...ASYNC })), first);
  await until(async () => (await runsOf(who))[0]?.status === "succeeded", "the run succeeds");
  assert.equal(await runOf(ask(who, body, key)), first);
  if (OWNER !== "off") {
    const other = { "idempotency-key": crypto.randomUUID() };
    await problem(await ask(who, body, other), 402, "insufficient_credits");
    await problem(await ask(who, body), 402, "insufficient_credits");
  }

  assert.equal((await runsOf(who)).length, 1);
  assert.deepEqual(await kinds(who), OWNER === "off" ? [] : ["hold", "settle"]);
  assert.deepEqual(await balance(who), { balance: OWNER === "off" ? 1 : 0, held: 0 });
  await audited();
});

async function runOf(asked: Promise<Response>): Promise<string> {
  const answer = await asked;
  const document = await answer.json();
  assert.ok(answer.ok, JSON.stringify(document));
  return document.runId;
}
