// How a light agent is answered: what the model hears, what the client gets, and what it costs.

import assert from "node:assert/strict";
import {
  agent,
  answered,
  ask,
  audited,
  balance,
  bodyOf,
  calls,
  type Document,
  kinds,
  ledger,
  person,
  play,
  problem,
  runsOf,
  say,
  sql,
  streamed,
  until,
} from "./ground.ts";

Deno.test("the answer is whole, charged, and no run", async () => {
  const who = await person();
  const agentId = await agent(who);
  await say("Hello to you.");

  const answer = await answered(await ask(who, bodyOf(agentId, "good day")));

  const { executionTime, usage, ...rest } = answer;
  assert.deepEqual(rest, { response: "Hello to you.", creditsUsed: 1, agentId, status: "succeeded" });
  assert.ok(Number.isInteger(executionTime) && executionTime >= 0);
  assert.deepEqual(usage, { modelCalls: 1, inputTokens: 3, outputTokens: 3 });
  assert.deepEqual(await balance(who), { balance: 99, held: 0 });
  assert.deepEqual(await kinds(who), ["hold", "settle"]);
  assert.deepEqual(await runsOf(who), []);
  const noted =
    "select agent_id, credits_used, operation_type, metadata from public.credit_usage where user_id = $1";
  assert.deepEqual(await sql(noted, who.id), [{
    agent_id: agentId,
    credits_used: 1,
    operation_type: "agent_runtime",
    metadata: { kind: "chat", status: "succeeded", usage },
  }]);
  await audited();
});

Deno.test("the answer is streamed as a run's would be", async () => {
  const who = await person();
  const agentId = await agent(who);
  await say("one two three", { between_s: 0.02 });

  const answer = await ask(who, bodyOf(agentId, "count", { stream: true }));
  const messages = await streamed(answer);

  assert.deepEqual(messages.map(({ seq }) => seq), messages.map((_, place) => place + 1));
  assert.deepEqual(messages[0], { type: "started", seq: 1, agentId });
  const chunks = messages.filter(({ type }) => type === "chunk");
  assert.ok(chunks.length > 1);
  assert.equal(chunks.map(({ content }) => content).join(""), "one two three");
  assert.ok(chunks.every(({ step }) => step === "turn-1"));
  const { type, response, creditsUsed } = messages.at(-1)!;
  assert.deepEqual([type, response, creditsUsed], ["done", "one two three", 1]);
  assert.deepEqual(await balance(who), { balance: 99, held: 0 });
});

Deno.test("Accept asks for a stream, too", async () => {
  const who = await person();
  await say("fine");

  const messages = await streamed(await ask(who, bodyOf(await agent(who)), { accept: "text/event-stream" }));

  assert.equal(messages.at(-1)!.type, "done");
});

Deno.test("the model hears the row, the knowledge and the conversation", async () => {
  const who = await person();
  const agentId = await agent(who, {
    system_prompt: "Be brief.",
    ai_model: "some/model",
    temperature: 0.25,
    max_tokens: 77,
    knowledge_base: [{ title: "Hours", content: "Nine to five." }, { content: "Closed on Sunday." }, {
      content: " ",
    }],
  });
  await say("fine");
  const messages = [
    { role: "user", content: "a" },
    { role: "assistant", content: "b" },
    { role: "user", content: "c" },
  ];

  await answered(await ask(who, { agentId, messages }));

  const [call] = await calls();
  assert.equal(call!.is_authorized, true);
  const { model, temperature, max_tokens, messages: heard } = call!.body;
  assert.deepEqual([model, temperature, max_tokens], ["some/model", 0.25, 77]);
  const system = "Be brief.\n\n# Knowledge base\n\n## Hours\nNine to five.\n\nClosed on Sunday.";
  assert.deepEqual(heard, [{ role: "system", content: system }, ...messages]);
});

Deno.test("a long conversation is shortened from its beginning", async () => {
  const who = await person();
  const agentId = await agent(who, { config: { context_tokens: 1200 }, max_tokens: 200 });
  await say("fine");
  const old = Array.from({ length: 6 }, (_, n) => ({ role: "user", content: `old ${n} ${"x".repeat(900)}` }));

  await answered(await ask(who, { agentId, messages: [...old, { role: "user", content: "newest" }] }));

  const heard: string[] = (await calls())[0]!.body.messages.map(({ content }: Document) =>
    content.slice(0, 8)
  );
  assert.ok(heard[0]!.startsWith("[earlier"));
  assert.ok(!heard.includes("old 0 xx") && heard.includes("old 5 xx"));
  assert.equal(heard.at(-1), "newest");
});

Deno.test("tokens are charged as the price says, at most its ceiling", async () => {
  const who = await person();
  const cheap = await agent(who, { price: { flat: 2, per_1k_tokens: 3, ceiling: 50 } });
  const capped = await agent(who, { price: { flat: 1, per_1k_tokens: 10, ceiling: 20 } });
  const usage = { prompt_tokens: 1000, completion_tokens: 501 };
  await say("fine", { usage });

  assert.equal((await answered(await ask(who, bodyOf(cheap)))).creditsUsed, 2 + 5);
  assert.equal((await answered(await ask(who, bodyOf(capped)))).creditsUsed, 17);
  await say("fine", { usage: { prompt_tokens: 100_000, completion_tokens: 1 } });
  assert.equal((await answered(await ask(who, bodyOf(capped)))).creditsUsed, 20);

  const held = (await ledger(who)).filter(({ kind }) => kind === "hold").map((each) => each.held);
  assert.deepEqual(held, [50, 20, 20]);
  assert.deepEqual(await balance(who), { balance: 100 - 7 - 17 - 20, held: 0 });
});

Deno.test("whoever cannot cover the ceiling is told what is needed", async () => {
  const who = await person({ balance: 4 });
  const agentId = await agent(who, { price: { flat: 1, per_1k_tokens: 1, ceiling: 5 } });
  await say("fine");

  const { needed, available } = await problem(await ask(who, bodyOf(agentId)), 402, "insufficient_credits");

  assert.deepEqual([needed, available], [5, 4]);
  assert.deepEqual(await calls(), []);
});

Deno.test("a row that is wrong is refused before anything is held", async () => {
  const who = await person();
  await say("fine");

  for (
    const fields of [
      { price: { flat: -1 } },
      { price: { hourly: 1 } },
      { price: "free" },
      { kind: "forecast" },
      { config: { wings: 2 } },
      { temperature: 9 },
    ]
  ) {
    await problem(await ask(who, bodyOf(await agent(who, fields))), 503, "not_configured");
  }
  const agentId = await agent(who);
  await problem(await ask(who, bodyOf(agentId, " ")), 422, "invalid_body");
  const messages = [{ role: "user", content: "hello" }, { role: "user", content: " " }];
  await problem(await ask(who, { agentId, messages }), 422, "invalid_body");

  assert.deepEqual(await kinds(who), []);
  assert.deepEqual(await calls(), []);
});

for (
  const [name, fields] of Object.entries({
    "is too long for the agent": { config: { context_tokens: 1200 }, max_tokens: 200 },
    "costs more than an answer may": { price: { flat: 1, per_1k_tokens: 1, ceiling: 2 } },
  })
) {
  Deno.test(`a conversation that ${name} is refused before a stream and a hold`, async () => {
    const who = await person();
    const agentId = await agent(who, fields);
    await say("fine");

    for (const stream of [false, true]) {
      const refused = await ask(who, bodyOf(agentId, "long ".repeat(4000), { stream }));
      const { errors } = await problem(refused, 422, "invalid_body");
      assert.equal(errors[0].field, "messages");
    }

    assert.deepEqual(await kinds(who), []);
    assert.deepEqual(await calls(), []);
  });
}

for (
  const [name, fault] of Object.entries({
    "answers 500": { kind: "status", status: 500 },
    "refuses the key": { kind: "status", status: 401 },
    "knows no such model": { kind: "status", status: 404 },
    "is limiting": { kind: "status", status: 429 },
    "answers with a page": { kind: "content_type" },
    "breaks off at once": { kind: "reset", after: 0 },
  })
) {
  Deno.test(`a provider that ${name} costs nothing, and its words stay here`, async () => {
    const who = await person();
    const agentId = await agent(who);
    await play({ reply: { text: "half an answer", fault } });

    const [refused, events] = await Promise.all([
      ask(who, bodyOf(agentId)).then((answer) => problem(answer, 503, "model_unavailable")),
      ask(who, bodyOf(agentId, "hello", { stream: true })).then(streamed),
    ]);

    assert.ok(!JSON.stringify([refused, events]).includes("a secret of the provider"));
    const last = events.at(-1)!;
    assert.deepEqual([last.type, last.code, last.creditsUsed], ["error", "model_unavailable", 0]);
    assert.deepEqual((await kinds(who)).sort(), ["hold", "hold", "release", "release"]);
    assert.deepEqual(await balance(who), { balance: 100, held: 0 });
  });
}

for (const kind of ["reset", "end", "garbage", "error"]) {
  Deno.test(`an answer that breaks off (${kind}) is told as it is, and costs nothing`, async () => {
    const who = await person();
    await play({
      reply: { text: "one two three four five six", between_s: 0.01, fault: { kind, after: 0.6 } },
    });

    const events = await streamed(await ask(who, bodyOf(await agent(who), "hello", { stream: true })));

    const last = events.at(-1)!;
    assert.deepEqual([last.type, last.code, last.creditsUsed], ["error", "model_unavailable", 0]);
    const told = events.filter(({ type }) => type === "chunk").map(({ content }) => content).join("");
    assert.ok(told.startsWith("one two"));
    assert.equal(last.response, told);
    assert.equal((await calls()).length, 1);
    assert.deepEqual(await kinds(who), ["hold", "release"]);
  });
}

Deno.test("a provider that stumbles once is asked again", async () => {
  const who = await person();
  await play({ times: 1, reply: { fault: { kind: "status", status: 503 } } }, { reply: { text: "fine" } });

  assert.equal((await answered(await ask(who, bodyOf(await agent(who))))).response, "fine");
});

Deno.test("a parameter the model does not take is left out", async () => {
  const who = await person();
  const error = { code: "unsupported_parameter", param: "max_tokens" };
  const fault = { kind: "status", status: 400, error };
  await play({ times: 1, reply: { fault } }, { reply: { text: "fine" } });

  await answered(await ask(who, bodyOf(await agent(who, { max_tokens: 9 }))));

  const [first, second] = await calls();
  assert.deepEqual([first!.body.max_tokens, second!.body.max_completion_tokens], [9, 9]);
});

Deno.test("a client that leaves pays once, for what the model was read to its end", async () => {
  const who = await person();
  const text = Array.from({ length: 12 }, (_, n) => `word${n}`).join(" ");
  await say(text, { between_s: 0.05 });
  const leaving = new AbortController();

  const answer = await ask(who, bodyOf(await agent(who), "go on", { stream: true }), {}, leaving.signal);
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (let seen = ""; !seen.includes("word1");) {
    seen += (await reader.read()).value ?? assert.fail("it ended");
  }
  leaving.abort();
  await reader.cancel().catch(() => undefined);

  await until(async () => (await kinds(who)).length === 2, "the answer is settled");
  assert.deepEqual(await kinds(who), ["hold", "settle"]);
  // The provider counts in the last event of its stream.
  const [noted] = await sql("select metadata from public.credit_usage where user_id = $1", who.id);
  assert.equal(noted!.metadata.usage.outputTokens, 12);
  assert.deepEqual(await balance(who), { balance: 99, held: 0 });
});

Deno.test("an account is never taken below zero by many at once", async () => {
  const who = await person({ balance: 3 });
  const agentId = await agent(who);
  await say("fine", { before_first_s: 0.1 });

  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(who, bodyOf(agentId))));

  const statuses = answers.map(({ status }) => status);
  await Promise.all(answers.map((each) => each.body?.cancel()));
  assert.equal(statuses.filter((each) => each === 200).length, 3);
  assert.equal(statuses.filter((each) => each === 402).length, 5);
  assert.deepEqual(await balance(who), { balance: 0, held: 0 });
  await audited();
});

Deno.test("nothing of an answer is kept", async () => {
  const who = await person();
  await say("a very peculiar answer");

  await answered(await ask(who, bodyOf(await agent(who), "a very peculiar question")));

  const [row] = await sql("select count(*) as n from public.messages where content like '%very peculiar%'");
  assert.equal(row!.n, 0);
});
