// How a heavy agent's request is handed to the backend, and what comes back.

import assert from "node:assert/strict";
import {
  agent,
  answered,
  ask,
  audited,
  BACKEND_URL,
  balance,
  bodyOf,
  calls,
  CANARY_URL,
  type Document,
  kinds,
  messagesIn,
  person,
  play,
  problem,
  runsOf,
  say,
  seenByCanary,
  sql,
  streamed,
  TARGET,
  until,
} from "./ground.ts";

/** As the edge tells it; the backend itself may leave its own origin out. */
function absolute(url: string): string {
  if (TARGET === "edge") assert.match(url, /^(http|ws):\/\//);
  return new URL(url, BACKEND_URL).href;
}

Deno.test("a run is waited for, answered and charged by the backend", async () => {
  const who = await person();
  const agentId = await agent(who, { is_heavy: true });
  await say("From the backend.");

  const response = await ask(who, bodyOf(agentId));
  const answer = await answered(response);

  assert.deepEqual([answer.response, answer.status, answer.creditsUsed], [
    "From the backend.",
    "succeeded",
    1,
  ]);
  const [run] = await runsOf(who);
  assert.equal(answer.runId, run!.id);
  assert.equal(absolute(response.headers.get("location")!), `${BACKEND_URL}/api/runs/${run!.id}`);
  assert.deepEqual(await kinds(who), ["hold", "settle"]);
  await audited();
});

Deno.test("a run is streamed from its first event to its last", async () => {
  const who = await person();
  await say("one two three", { between_s: 0.02 });

  const messages = await streamed(
    await ask(who, bodyOf(await agent(who, { is_heavy: true }), "go", { stream: true })),
  );

  const [run] = await runsOf(who);
  assert.ok(messages.every(({ runId }) => runId === run!.id));
  assert.deepEqual(messages.map(({ seq }) => seq), messages.map((_, place) => place + 1));
  assert.deepEqual([messages[0]!.type, messages.at(-1)!.type], ["started", "done"]);
  assert.equal(
    messages.filter(({ type }) => type === "chunk").map(({ content }) => content).join(""),
    "one two three",
  );
});

Deno.test("a run that is not waited for says where it is followed", async () => {
  const who = await person();
  await say("fine");

  const response = await ask(who, bodyOf(await agent(who, { is_heavy: true })), { prefer: "respond-async" });

  assert.equal(response.status, 202);
  assert.equal(response.headers.get("preference-applied"), "respond-async");
  const { runId, eventsUrl, wsUrl } = await response.json();
  assert.equal(absolute(eventsUrl), `${BACKEND_URL}/api/runs/${runId}/events`);
  assert.match(wsUrl, TARGET === "edge" ? /^ws:\/\/127\.0\.0\.1:[0-9]+\/ws$/ : /\/ws$/);
  const followed = await fetch(absolute(eventsUrl), {
    headers: { authorization: `Bearer ${who.token}`, accept: "text/event-stream" },
  });
  assert.equal((await streamed(followed)).at(-1)!.type, "done");
});

Deno.test("a wait is read however it is spelled, and said only to whoever asked for it", async () => {
  const who = await person();
  const agentId = await agent(who, { is_heavy: true });
  await say("fine");

  for (const prefer of ["wait=0", 'WAIT = "0"', 'wait=""0', 'a="x, wait=7", wait=0']) {
    const response = await ask(who, bodyOf(agentId), { prefer });
    assert.deepEqual([response.status, response.headers.get("preference-applied")], [202, "wait=0"], prefer);
    await response.body?.cancel();
  }
  for (const prefer of ["wait=9999999999", "wait=00000000240", ""]) {
    const response = await ask(who, bodyOf(agentId), { prefer });
    await answered(response);
    assert.equal(response.headers.get("preference-applied"), null, prefer);
  }
});

Deno.test("a request that is sent again joins its run and is charged once", async () => {
  const who = await person();
  const body = bodyOf(await agent(who, { is_heavy: true }));
  const key = { "idempotency-key": crypto.randomUUID() };
  await say("fine");

  const first = await answered(await ask(who, body, key));
  const again = await ask(who, body, key);
  const second = await answered(again);
  const events = await streamed(await ask(who, { ...body, stream: true }, key));

  assert.equal(again.headers.get("idempotency-replayed"), "true");
  assert.deepEqual([first.runId, first.response], [second.runId, second.response]);
  assert.equal(events.at(-1)!.runId, first.runId);
  assert.equal((await runsOf(who)).length, 1);
  assert.deepEqual(await kinds(who), ["hold", "settle"]);
  const other = bodyOf(body.agentId, "something else");
  await problem(await ask(who, other, key), 422, "key_conflict");
});

Deno.test("a key that paid for an answer pays for no run", async () => {
  const who = await person();
  const key = { "idempotency-key": crypto.randomUUID() };
  await say("fine");

  await answered(await ask(who, bodyOf(await agent(who)), key));
  await answered(await ask(who, bodyOf(await agent(who, { is_heavy: true })), key));

  assert.deepEqual(await balance(who), { balance: 98, held: 0 });
});

Deno.test("what the backend refuses is heard as it says it", async () => {
  const who = await person({ balance: 3 });
  const dear = await agent(who, { is_heavy: true, price: { flat: 5 } });
  await say("fine");

  const { needed, available } = await problem(await ask(who, bodyOf(dear)), 402, "insufficient_credits");
  await problem(await ask(who, bodyOf(await agent(who, { is_heavy: true }), " ")), 422, "invalid_body");
  const unknown = await agent(who, { is_heavy: true, kind: "nobody-knows" });
  await problem(await ask(who, bodyOf(unknown)), 503, "not_configured");

  assert.deepEqual([needed, available], [5, 3]);
  assert.deepEqual(await runsOf(who), []);
});

Deno.test("a run that fails is no success", async () => {
  const who = await person();
  await play({ reply: { fault: { kind: "status", status: 401 } } });

  const answer = await ask(who, bodyOf(await agent(who, { is_heavy: true })));

  const { runStatus } = await problem(answer, 503, "model_unavailable");
  assert.equal(runStatus, "failed");
});

Deno.test("a client that leaves ends the forwarding, and the run goes on", async () => {
  const who = await person();
  await say(Array.from({ length: 12 }, (_, n) => `word${n}`).join(" "), { between_s: 0.05 });
  const leaving = new AbortController();

  const body = bodyOf(await agent(who, { is_heavy: true }), "go", { stream: true });
  const answer = await ask(who, body, {}, leaving.signal);
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  while (!seen.includes("word1")) seen += (await reader.read()).value ?? assert.fail("it ended");
  leaving.abort();
  await reader.cancel().catch(() => undefined);

  await until(async () => (await runsOf(who))[0]?.status === "succeeded", "the run succeeds");
  const last = messagesIn(seen.slice(0, seen.lastIndexOf("\n\n") + 2)).at(-1)!;
  const rest = await fetch(`${BACKEND_URL}/api/runs/${last.runId}/events`, {
    headers: {
      authorization: `Bearer ${who.token}`,
      accept: "text/event-stream",
      "last-event-id": `${last.seq}`,
    },
  });
  const messages = await streamed(rest);
  assert.equal(messages[0]!.seq, last.seq + 1);
  assert.equal(messages.at(-1)!.type, "done");
  assert.deepEqual(await kinds(who), ["hold", "settle"]);
});

Deno.test("an agent's own backend that nobody allows is told nothing", async () => {
  const who = await person();
  await say("fine");

  for (
    const url of [CANARY_URL, CANARY_URL.replace("http", "https"), "https://evil.example", "javascript:x"]
  ) {
    const agentId = await agent(who, { is_heavy: true, railway_url: url });
    assert.equal((await answered(await ask(who, bodyOf(agentId)))).response, "fine");
    const light = await agent(who, { railway_url: url });
    assert.equal((await answered(await ask(who, bodyOf(light)))).response, "fine");
  }

  assert.deepEqual(await seenByCanary(), []);
});

Deno.test("an agent that was not heavy a moment ago is looked at again", async () => {
  const who = await person();
  const agentId = await agent(who);
  await say("fine");

  const light: Document = await answered(await ask(who, bodyOf(agentId)));
  await sql("update public.agents set is_heavy = true where id = $1", agentId);
  const heavy: Document = await answered(await ask(who, bodyOf(agentId)));

  assert.deepEqual([light.runId, typeof heavy.runId], [undefined, "string"]);
  assert.equal((await calls()).length, 2);
});
