// What an Idempotency-Key is worth at a light agent: one answer, one charge, another try where there was none.

import assert from "node:assert/strict";
import {
  agent,
  answered,
  ask,
  audited,
  balance,
  bodyOf,
  calls,
  kinds,
  ledger,
  type Lines,
  type Person,
  person,
  play,
  problem,
  say,
  sql,
  streamed,
} from "./ground.ts";

function newKey(): Lines & { "idempotency-key": string } {
  return { "idempotency-key": crypto.randomUUID() };
}

Deno.test("a key answers once, whole or streamed, and is charged once", async () => {
  const who = await person();
  const agentId = await agent(who);
  const key = newKey();
  await say("fine");

  await answered(await ask(who, bodyOf(agentId), key));
  const { detail } = await problem(await ask(who, bodyOf(agentId), key), 422, "key_conflict");
  await problem(await ask(who, bodyOf(agentId, "hello", { stream: true }), key), 422, "key_conflict");

  assert.match(detail, /answered before/);
  assert.equal((await calls()).length, 1);
  assert.deepEqual(await kinds(who), ["hold", "settle"]);
});

Deno.test("of many requests at once with one key one is answered", async () => {
  const who = await person();
  const agentId = await agent(who);
  const key = newKey();
  await say("fine", { before_first_s: 0.1 });

  const answers = await Promise.all(Array.from({ length: 5 }, () => ask(who, bodyOf(agentId), key)));

  const statuses = answers.map(({ status }) => status).sort();
  await Promise.all(answers.map((each) => each.body?.cancel()));
  assert.deepEqual(statuses, [200, 422, 422, 422, 422]);
  assert.equal((await calls()).length, 1);
  assert.deepEqual(await kinds(who), ["hold", "settle"]);
});

Deno.test("two users may use one key", async () => {
  const key = newKey();
  await say("fine");

  for (const who of [await person(), await person()]) {
    await answered(await ask(who, bodyOf(await agent(who)), key));
  }
});

Deno.test("a key whose answer failed is answered when it is sent again, and then no more", async () => {
  const who = await person();
  const agentId = await agent(who);
  const key = newKey();
  await play({ times: 2, reply: { fault: { kind: "status", status: 401 } } }, { reply: { text: "fine" } });

  await problem(await ask(who, bodyOf(agentId), key), 503, "model_unavailable");
  const events = await streamed(await ask(who, bodyOf(agentId, "hello", { stream: true }), key));
  const answer = await answered(await ask(who, bodyOf(agentId), key));
  const { detail } = await problem(await ask(who, bodyOf(agentId), key), 422, "key_conflict");

  assert.deepEqual([events.at(-1)!.type, events.at(-1)!.code], ["error", "model_unavailable"]);
  assert.deepEqual([answer.response, answer.creditsUsed], ["fine", 1]);
  assert.match(detail, /answered before/);
  assert.equal((await calls()).length, 3);
  assert.deepEqual(await kinds(who), ["hold", "release", "hold", "release", "hold", "settle"]);
  const names = (await ledger(who)).filter(({ kind }) => kind === "hold").map(({ key }) => key);
  const sent = key["idempotency-key"];
  assert.deepEqual(
    names,
    ["light", "light:2", "light:3"].map((each) => `request:${each}:${sent}:hold`),
  );
  assert.deepEqual(await balance(who), { balance: 99, held: 0 });
  await audited();
});

Deno.test("of many who send a key again whose answer failed one is answered", async () => {
  const who = await person();
  const agentId = await agent(who);
  const key = newKey();
  await play({ reply: { fault: { kind: "status", status: 401 } } });
  await problem(await ask(who, bodyOf(agentId), key), 503, "model_unavailable");
  await say("fine", { before_first_s: 0.3 });

  const answers = await Promise.all(Array.from({ length: 5 }, () => ask(who, bodyOf(agentId), key)));

  const told = await Promise.all(answers.map((each) => each.json()));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 422, 422, 422, 422]);
  for (const { code, detail } of told.filter(({ status }) => status === 422)) {
    assert.equal(code, "key_conflict");
    assert.match(detail, /is being answered|answered before/);
  }
  assert.equal((await calls()).length, 1);
  assert.deepEqual(await kinds(who), ["hold", "release", "hold", "settle"]);
  await audited();
});

Deno.test("a key that is being answered says so", async () => {
  const who = await person();
  const agentId = await agent(who);
  const key = newKey();
  await holdBefore(who, key);

  const { detail } = await problem(await ask(who, bodyOf(agentId), key), 422, "key_conflict");

  assert.match(detail, /is being answered/);
  assert.deepEqual(await kinds(who), ["hold"]);
  await endBefore(who, key, 0);
});

for (const charged of [0, 1]) {
  Deno.test(`a key the release before has used, for ${charged} credits, pays once`, async () => {
    const who = await person();
    const agentId = await agent(who);
    const key = newKey();
    await holdBefore(who, key);
    await endBefore(who, key, charged);
    await say("fine");

    const answer = await ask(who, bodyOf(agentId), key);
    await answer.body?.cancel();

    assert.equal(answer.status, charged === 0 ? 200 : 422);
    assert.deepEqual(await balance(who), { balance: 99, held: 0 });
  });
}

Deno.test("a key that failed too often is used up", async () => {
  const who = await person();
  const agentId = await agent(who);
  const key = newKey();
  for (let n = 1; n <= 20; n++) {
    const name = n === 1 ? `light:${key["idempotency-key"]}` : `light:${n}:${key["idempotency-key"]}`;
    await sql("select public.switchyard_credits_hold($1, 1, $2)", who.id, name);
    await sql("select public.switchyard_credits_release($1, $2)", who.id, name);
  }
  await say("fine");

  const { detail } = await problem(await ask(who, bodyOf(agentId), key), 422, "key_conflict");

  assert.match(detail, /too often/);
  assert.deepEqual(await calls(), []);
});

/** As a release did that knew one name for each key. */
async function holdBefore(who: Person, key: Lines): Promise<void> {
  await sql("select public.switchyard_credits_hold($1, 1, $2)", who.id, `light:${key["idempotency-key"]}`);
}

async function endBefore(who: Person, key: Lines, credits: number): Promise<void> {
  const name = `light:${key["idempotency-key"]}`;
  await sql("select public.switchyard_credits_settle($1, $2, $3)", who.id, name, credits);
}
