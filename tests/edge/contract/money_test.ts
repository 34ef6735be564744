// Who charges, with the function and a backend of the same owner both at work: once, once, or never.

import assert from "node:assert/strict";
import {
  agent,
  answered,
  ask,
  audited,
  balance,
  bodyOf,
  kinds,
  ledger,
  OWNER,
  person,
  play,
  problem,
  runsOf,
  say,
  streamed,
  until,
} from "./ground.ts";

const CHARGES = OWNER === "off" ? 0 : 1;
const CHARGED = OWNER === "off" ? [] : ["hold", "settle"];

Deno.test(`a light answer is charged ${CHARGES} times`, async () => {
  const who = await person();
  const agentId = await agent(who, { price: { flat: 3 } });
  await say("fine");

  const { creditsUsed } = await answered(await ask(who, bodyOf(agentId)));

  assert.equal(creditsUsed, 3 * CHARGES);
  assert.deepEqual(await kinds(who), CHARGED);
  assert.deepEqual(await balance(who), { balance: 100 - 3 * CHARGES, held: 0 });
  await audited();
});

Deno.test(`a run is charged ${CHARGES} times, however it is asked for`, async () => {
  const who = await person();
  const agentId = await agent(who, { is_heavy: true, price: { flat: 3 } });
  await say("fine");

  await answered(await ask(who, bodyOf(agentId)));
  await streamed(await ask(who, bodyOf(agentId, "hello", { stream: true })));
  const accepted = await ask(who, bodyOf(agentId), { prefer: "respond-async" });
  assert.equal(accepted.status, 202);
  await accepted.body?.cancel();
  const isOver = async () => (await runsOf(who)).filter(({ status }) => status === "succeeded").length === 3;
  await until(isOver, "the runs succeed");

  const closed = (await ledger(who)).filter(({ kind }) => kind === "settle").map(({ amount }) => amount);
  assert.deepEqual(closed, Array(3 * CHARGES).fill(-3));
  assert.deepEqual(await balance(who), { balance: 100 - 9 * CHARGES, held: 0 });
  const keys = (await ledger(who)).map(({ key }) => key ?? "");
  assert.ok(keys.every((key) => key.startsWith(OWNER === "caller" ? "request:heavy:" : "run:")), `${keys}`);
  await audited();
});

Deno.test(`requests at once with one key are one run, charged ${CHARGES} times`, async () => {
  const who = await person();
  const body = bodyOf(await agent(who, { is_heavy: true, price: { flat: 3 } }));
  const key = { "idempotency-key": crypto.randomUUID() };
  await say("fine", { before_first_s: 0.1 });

  const answers = await Promise.all(Array.from({ length: 4 }, () => ask(who, body, key)));
  const runs = new Set(await Promise.all(answers.map(async (each) => (await answered(each)).runId)));
  await answered(await ask(who, body, key));

  assert.equal(runs.size, 1);
  assert.deepEqual(await kinds(who), CHARGED);
  assert.deepEqual(await balance(who), { balance: 100 - 3 * CHARGES, held: 0 });
});

Deno.test("whoever has no credits is refused where somebody charges", async () => {
  const poor = await person({ balance: 0 });
  await say("fine");

  for (const isHeavy of [false, true]) {
    const answer = await ask(poor, bodyOf(await agent(poor, { is_heavy: isHeavy })));
    if (OWNER === "off") await answered(answer);
    else await problem(answer, 402, "insufficient_credits");
  }

  assert.deepEqual(await kinds(poor), []);
});

Deno.test("a run that the backend refuses is not charged, nor is what was held kept", async () => {
  const who = await person();
  const body = bodyOf(await agent(who, { is_heavy: true }), " ");
  const key = { "idempotency-key": crypto.randomUUID() };

  await problem(await ask(who, body, key), 422, "invalid_body");

  assert.deepEqual(await kinds(who), OWNER === "caller" ? ["hold", "release"] : []);
  assert.deepEqual(await balance(who), { balance: 100, held: 0 });

  const better = bodyOf(body.agentId, "now with words");
  await say("fine");
  await answered(await ask(who, better, key));
  assert.deepEqual(await balance(who), { balance: 100 - CHARGES, held: 0 });
  await audited();
});

Deno.test("a run that nobody here can execute is refused for certain, and nothing is kept of it", async () => {
  const who = await person();
  const agentId = await agent(who, { is_heavy: true, kind: "nobody-knows" });

  await problem(await ask(who, bodyOf(agentId)), 503, "not_configured");

  assert.deepEqual(await kinds(who), OWNER === "caller" ? ["hold", "release"] : []);
  assert.deepEqual(await balance(who), { balance: 100, held: 0 });
});

Deno.test("a light answer that came to nothing is not charged", async () => {
  const who = await person();
  await play({ reply: { fault: { kind: "status", status: 401 } } });

  await problem(await ask(who, bodyOf(await agent(who))), 503, "model_unavailable");

  assert.deepEqual(await kinds(who), OWNER === "off" ? [] : ["hold", "release"]);
  assert.deepEqual(await balance(who), { balance: 100, held: 0 });
});

Deno.test("a run that was accepted and then failed for want of a model is charged by callers alone", async () => {
  const who = await person();
  const body = bodyOf(await agent(who, { is_heavy: true, price: { flat: 3 } }));
  await play({ reply: { fault: { kind: "status", status: 401 } } });

  const { runStatus } = await problem(await ask(who, body), 503, "model_unavailable");

  assert.equal(runStatus, "failed");
  const wanted = { backend: ["hold", "release"], caller: ["hold", "settle"], off: [] };
  assert.deepEqual(await kinds(who), wanted[OWNER]);
  assert.deepEqual(await balance(who), { balance: OWNER === "caller" ? 97 : 100, held: 0 });
});
