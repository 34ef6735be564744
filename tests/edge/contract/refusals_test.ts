// What is refused at each step, and that what is wrong first is what the caller hears.

import assert from "node:assert/strict";
import {
  agent,
  answered,
  ask,
  bodyOf,
  calls,
  counted,
  kinds,
  type Lines,
  person,
  personWithLeft,
  post,
  problem,
  putAway,
  say,
  TARGET,
  TARGET_URL,
  tokenOf,
} from "./ground.ts";

const NOBODY = crypto.randomUUID();

/** By somebody who is proved: what is refused is the request itself. */
async function sent(body: unknown, headers: Lines = {}): Promise<Response> {
  const token = await tokenOf(crypto.randomUUID());
  return await post(body, { authorization: `Bearer ${token}`, ...headers });
}

Deno.test("a body that is no JSON is refused", async () => {
  await problem(await sent("{"), 400, "invalid_request");
});

Deno.test("a body of another type is refused", async () => {
  await problem(await sent("{}", { "content-type": "text/plain" }), 415, "unsupported_media_type");
});

Deno.test("every mistake in a body is named by its field", async () => {
  const body = {
    agentId: "x",
    mesages: [],
    messages: [{ role: "robot", content: 1 }],
    stream: "yes",
    input: [],
    metadata: { long: "x".repeat(17_000) },
    conversationId: 7,
  };

  const { errors } = await problem(await sent(body), 422, "invalid_body");

  const fields = errors.map((each: { field: string }) => each.field).sort();
  const wanted = ["agentId", "conversationId", "input", "mesages", "messages[0].content", "messages[0].role"];
  assert.deepEqual(fields, [...wanted, "metadata", "stream"]);
});

for (
  const [name, body] of Object.entries({
    "no list of messages": { agentId: NOBODY },
    "a list instead of an object": [],
    "a NUL character": bodyOf(NOBODY, "a\0b"),
    "more than 64 levels": { ...bodyOf(NOBODY), input: { a: JSON.parse("[".repeat(70) + "]".repeat(70)) } },
    "more than 1000 messages": {
      agentId: NOBODY,
      messages: Array(1001).fill({ role: "user", content: "x" }),
    },
    "more than two million characters": bodyOf(NOBODY, "x".repeat(2_000_001)),
  })
) {
  Deno.test(`a body with ${name} is refused`, async () => {
    await problem(await sent(body), 422, "invalid_body");
  });
}

Deno.test("a key that is none is refused", async () => {
  const answer = await sent(bodyOf(NOBODY), { "idempotency-key": "x".repeat(256) });

  await problem(answer, 400, "invalid_request");
});

Deno.test("another method is refused, and the right one named", async () => {
  const answer = await fetch(TARGET_URL, { method: "PUT", body: "{}" });

  await problem(answer, 405, "method_not_allowed");
  assert.match(answer.headers.get("allow") ?? "", /POST/);
});

Deno.test("fields of older front ends are taken and ignored", async () => {
  const who = await person();
  await say("fine");
  const old = { userId: NOBODY, agentConfig: { system_prompt: "obey" }, functionResults: [1] };

  const answer = await answered(await ask(who, bodyOf(await agent(who), "hi", old)));

  assert.equal(answer.response, "fine");
  const [call] = await calls();
  assert.ok(!JSON.stringify(call!.body).includes("obey"));
});

Deno.test("what cannot be read is heard of before who asks", async () => {
  await problem(
    await post({ agentId: "x", messages: [] }, { authorization: "Bearer x" }),
    422,
    "invalid_body",
  );
});

Deno.test("who asks is heard of before credits", async () => {
  const answer = await post(bodyOf(NOBODY));

  await problem(answer, 401, "invalid_token");
  assert.equal(answer.headers.get("www-authenticate"), "Bearer");
});

Deno.test("credits are heard of before the plan's limit and the agent, and count for nothing", async () => {
  const poor = await person({ balance: 0, plan: "free" });

  for (let n = 0; n < 6; n++) {
    const { needed, available } = await problem(await ask(poor, bodyOf(NOBODY)), 402, "insufficient_credits");
    assert.deepEqual([needed, available], [1, 0]);
  }

  assert.equal(await counted(poor), 0);
});

Deno.test("the plan's limit is heard of before the agent", async () => {
  const who = await personWithLeft(1);
  await problem(await ask(who, bodyOf(NOBODY)), 404, "agent_not_found");

  const answer = await ask(who, bodyOf(NOBODY));

  const { retryAfter, policy } = await problem(answer, 429, "rate_limited");
  assert.equal(policy, "50 runs in 3600 s");
  assert.equal(answer.headers.get("retry-after"), `${retryAfter}`);
  assert.equal(answer.headers.get("ratelimit"), `"rate_limited";r=0;t=${retryAfter}`);
  assert.equal(answer.headers.get("ratelimit-policy"), '"rate_limited";q=50');
});

Deno.test("light and heavy requests count once each against one limit", async () => {
  const who = await personWithLeft(3);
  const light = await agent(who);
  const heavy = await agent(who, { is_heavy: true });
  await say("fine");

  await answered(await ask(who, bodyOf(light)));
  await answered(await ask(who, bodyOf(heavy)));
  assert.equal(await counted(who), 49);
  await answered(await ask(who, bodyOf(light)));

  await problem(await ask(who, bodyOf(heavy)), 429, "rate_limited");
  await problem(await ask(who, bodyOf(light)), 429, "rate_limited");
  assert.equal((await kinds(who)).filter((each) => each === "settle").length, 3);
});

Deno.test("an agent of somebody else's that is not published reads as unknown", async () => {
  const owner = await person();
  const hidden = await agent(owner);
  const inactive = await agent(owner, { status: "archived" });
  const shown = await agent(owner, { is_published: true });
  const stranger = await person();
  await say("fine");

  await problem(await ask(stranger, bodyOf(hidden)), 404, "agent_not_found");
  await problem(await ask(owner, bodyOf(inactive)), 404, "agent_not_found");
  await answered(await ask(stranger, bodyOf(shown)));
  await answered(await ask(owner, bodyOf(hidden)));
});

Deno.test("a request has the name its caller gave it, if that is harmless", async () => {
  const given = await sent("{", { "x-request-id": "my-request.1" });
  const bad = await sent("{", { "x-request-id": "a b" });

  assert.equal((await problem(given, 400, "invalid_request")).requestId, "my-request.1");
  assert.notEqual((await problem(bad, 400, "invalid_request")).requestId, "a b");
});

Deno.test(
  "when the database is away nothing is let through",
  { ignore: TARGET !== "edge" },
  async () => {
    const who = await person();
    const agentId = await agent(who);
    await say("fine");
    await putAway(true);
    try {
      const answer = await ask(who, bodyOf(agentId));

      await problem(answer, 503, "database_unavailable");
      assert.equal(answer.headers.get("retry-after"), "2");
      await problem(
        await post(bodyOf(agentId), { "x-api-key": `sy_${"x".repeat(32)}` }),
        503,
        "database_unavailable",
      );
    } finally {
      await putAway(false);
    }
    assert.deepEqual(await calls(), []);
    assert.deepEqual(await kinds(who), []);
  },
);
