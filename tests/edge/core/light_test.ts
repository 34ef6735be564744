// What only a light agent's own world can show: silence, time, lost answers of the database, wrong settings.

import assert from "node:assert/strict";
import { chargeOf, parsePrice } from "../../../supabase/functions/agent-runtime/price.ts";
import { LIGHT, MODEL, Project } from "./project.ts";
import { json } from "./world.ts";

Deno.test("a silence in a stream is broken by a ping without a number", async () => {
  await using project = new Project();
  const { promise, resolve } = Promise.withResolvers<Response>();
  project.world.at(MODEL, () => promise);

  const answer = await project.app({ pingMs: 20 })(await project.request({ stream: true }));
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  while (!seen.includes(": ping\n\n: ping\n\n")) seen += (await reader.read()).value;
  resolve(new Response("no", { status: 401 }));
  for (let part = await reader.read(); !part.done; part = await reader.read()) seen += part.value;

  assert.match(seen, /^retry: 1000\n\nid: 1\ndata: \{"type":"started"/);
  assert.match(seen, /id: 2\ndata: \{"type":"error"[^\n]*\n\n$/);
});

Deno.test("an answer that takes longer than there is time is given up and released", async () => {
  await using project = new Project();
  const { promise, resolve } = Promise.withResolvers<Response>();
  project.world.at(MODEL, () => promise);

  const answer = await project.app({ lightMs: 60 })(await project.request());

  const { code, detail } = await answer.json();
  assert.deepEqual([code, detail], [
    "model_unavailable",
    "the model provider did not answer in time; try again later",
  ]);
  assert.equal(project.named().at(-1), "credits_release");
  resolve(new Response("late"));
});

Deno.test("a charge whose answer was lost is asked for again, and is one charge", async () => {
  await using project = new Project();
  project.speaks(["fine"]);
  let tries = 0;
  project.answers.switchyard_answers_settle = () =>
    ++tries === 1 ? new Response("", { status: 504 }) : { charged: 1 };

  const answer = await (await project.app()(await project.request())).json();

  assert.deepEqual([answer.response, answer.creditsUsed, tries], ["fine", 1, 2]);
  const keys = new Set(
    project.calls.filter(({ args }) => args.p_key).map(({ args }) => args.p_key),
  );
  assert.equal(keys.size, 1);
});

Deno.test("without a charge there is no answer", async () => {
  await using project = new Project();
  project.speaks(["fine"]);
  project.answers.switchyard_answers_settle = () => new Response("", { status: 504 });

  const answer = await project.app()(await project.request());

  assert.equal((await answer.json()).code, "database_unavailable");
  assert.equal(project.named().at(-1), "credits_release");
});

Deno.test("a hold nobody confirms is no hold, and is not given back for somebody else", async () => {
  await using project = new Project();
  const model = project.speaks(["fine"]);
  project.answers.switchyard_credits_hold = () => new Response("", { status: 504 });

  const answer = await project.app()(await project.request());

  assert.equal((await answer.json()).code, "database_unavailable");
  assert.deepEqual(model.asked, []);
  assert.ok(!project.named().includes("credits_release"));
});

Deno.test("a limit that cannot be counted is no room", async () => {
  await using project = new Project();
  const model = project.speaks(["fine"]);
  project.answers.switchyard_limits_take = () => new Response("", { status: 500 });

  const answer = await project.app()(await project.request());

  assert.equal((await answer.json()).code, "database_unavailable");
  assert.deepEqual(model.asked, []);
});

for (const owner of ["backend", "off"]) {
  Deno.test(`when nobody can look, nothing is decided (${owner})`, async () => {
    await using project = new Project();
    project.world.variables.set("CREDITS_OWNER", owner);
    project.answers.switchyard_agents_route = () => json({ message: "down" }, { status: 503 });

    const answer = await project.app()(await project.request());

    assert.equal((await answer.json()).code, "database_unavailable");
    assert.deepEqual(project.named(), ["agents_route"]);
  });
}

Deno.test("what the database refuses is told as it says it", async () => {
  await using project = new Project();
  const refusal = (code: string, message: string, facts: object) => () =>
    json({ code, message, details: JSON.stringify(facts), hint: null }, { status: Number(code.slice(2)) });
  const told = async () => (await (await project.app()(await project.request())).json());

  project.answers.switchyard_agents_route = refusal("PT503", "not_configured", {
    detail: "the agent is too large",
  });
  const { code, detail } = await told();
  project.answers.switchyard_agents_route = refusal("PT402", "insufficient_credits", {
    needed: 3,
    available: 1,
  });
  const { needed, available } = await told();
  project.answers.switchyard_agents_route = refusal("PT418", "no_such_code", {});
  const unknown = await told();

  assert.deepEqual([code, detail], ["not_configured", "the agent is too large"]);
  assert.deepEqual([needed, available], [3, 1]);
  assert.deepEqual([unknown.code, unknown.detail], ["internal_error", "something went wrong on our side"]);
});

Deno.test("a key of the new kind goes into apikey alone, an old one is a token, too", async () => {
  await using project = new Project();
  project.speaks(["fine"]);
  await (await project.app()(await project.request())).text();
  project.world.variables.delete("SUPABASE_SECRET_KEY");
  project.world.variables.set(
    "SUPABASE_SECRET_KEYS",
    '{"web":"sb_secret_web","default":"sb_secret_default"}',
  );
  await (await project.app()(await project.request())).text();
  project.world.variables.delete("SUPABASE_SECRET_KEYS");
  project.world.variables.set("SUPABASE_SERVICE_ROLE_KEY", "eyJh.eyJy.c2ln");
  await (await project.app()(await project.request())).text();

  const sent = new Set(
    project.calls.map(({ headers }) => `${headers.get("apikey")} ${headers.get("authorization")}`),
  );
  assert.deepEqual([...sent], [
    "sb_secret_of_these_tests null",
    "sb_secret_default null",
    "eyJh.eyJy.c2ln Bearer eyJh.eyJy.c2ln",
  ]);
});

for (
  const [name, value] of [
    ["SUPABASE_URL", ""],
    ["SUPABASE_SECRET_KEY", " "],
    ["RAILWAY_BACKEND_URL", "http://backend.example"],
    ["RAILWAY_BACKEND_URL", "https://backend.example/api"],
    ["RAILWAY_BACKEND_SECRET", "short"],
    ["CREDITS_OWNER", "nobody"],
    ["OPENAI_BASE_URL", "model.example"],
  ] as const
) {
  Deno.test(`${name}=${value} is named to whoever asks`, async () => {
    await using project = new Project();
    const request = await project.request();
    project.world.variables.set(name, value);

    const answer = await project.app()(request);

    const { code, detail } = await answer.json();
    assert.equal(code, "not_configured");
    assert.ok(detail.startsWith(name) && (value.trim() === "" || !detail.includes(value)), detail);
  });
}

Deno.test("without a model's key a light agent is not configured", async () => {
  await using project = new Project();
  project.world.variables.delete("OPENAI_API_KEY");

  const answer = await project.app()(await project.request());

  assert.match((await answer.json()).detail, /^OPENAI_API_KEY/);
  assert.ok(!project.named().includes("credits_hold"));
});

Deno.test("the gateway's key chooses the gateway", async () => {
  await using project = new Project();
  project.world.variables.delete("OPENAI_API_KEY");
  project.world.variables.delete("OPENAI_BASE_URL");
  project.world.variables.set("LOVABLE_API_KEY", "the-gateways-key");
  const gateway = project.world.at(
    "https://ai.gateway.lovable.dev",
    () => new Response("no", { status: 401 }),
  );

  await (await project.app()(await project.request())).text();

  assert.equal(new URL(gateway.asked[0]!.url).pathname, "/v1/chat/completions");
  assert.equal(gateway.asked[0]!.headers.get("authorization"), "Bearer the-gateways-key");
});

Deno.test("nothing secret is in any line of the log", async () => {
  await using project = new Project();
  project.world.at(MODEL, () => json({ error: { message: "a secret of the provider" } }, { status: 400 }));
  const key = `sy_${"k".repeat(32)}`;

  await (await project.app()(await project.request({}, { "x-api-key": key }))).text();

  const logged = project.world.logged.join("\n");
  assert.match(logged, /"event":"request"/);
  for (const secret of ["sb_secret", "service-secret", "the-key", "a secret", key, "hello"]) {
    assert.ok(!logged.includes(secret), secret);
  }
});

Deno.test("every part of a price rounds up on its own, at most to the ceiling", () => {
  const price = parsePrice({ flat: 2, per_1k_tokens: 3, per_minute: 5, ceiling: 40 });

  assert.equal(chargeOf(price, { tokens: 0, elapsedMs: 0 }), 2);
  assert.equal(chargeOf(price, { tokens: 1, elapsedMs: 1 }), 4);
  assert.equal(chargeOf(price, { tokens: 1000, elapsedMs: 60_000 }), 10);
  assert.equal(chargeOf(price, { tokens: 1_000_000, elapsedMs: 0 }), 40);
  assert.deepEqual(parsePrice({}), { flat: 1, perThousandTokens: 0, perMinute: 0, ceiling: 1 });
  for (
    const wrong of [{ flat: 1.5 }, { flat: true }, { flat: 5, ceiling: 4 }, { per_minute: 1 }, { gold: 1 }]
  ) {
    assert.throws(() => parsePrice(wrong));
  }
});

Deno.test("a body that is too large is refused when that is clear, and nobody is asked about it", async () => {
  await using project = new Project();
  const headers = { "content-type": "application/json" };
  const parts = function* (): Generator<Uint8Array> {
    for (let n = 0; n < 12; n++) yield new Uint8Array(1024 * 1024).fill(32);
  };
  const url = "http://localhost/agent-runtime";
  const streamed = new Request(url, { method: "POST", headers, body: ReadableStream.from(parts()) });
  const announced = new Request(url, {
    method: "POST",
    headers: { ...headers, "content-length": "99999999" },
  });

  for (const request of [streamed, announced]) {
    const { code, limitBytes } = await (await project.app()(request)).json();
    assert.deepEqual([code, limitBytes], ["too_large", 10 * 1024 * 1024]);
  }
  assert.deepEqual(project.calls, []);
});

Deno.test("where tokens are paid for, the model may say no more than what is held pays", async () => {
  await using project = new Project({
    ...LIGHT,
    max_tokens: 5000,
    price: { flat: 1, per_1k_tokens: 2, ceiling: 3 },
  });
  const model = project.speaks(["fine"]);
  const app = project.app();

  const answer = await (await app(await project.request())).json();
  const messages = [{ role: "user", content: "x".repeat(3300) }];
  const dear = await (await app(await project.request({ messages }))).json();

  // One message of five letters is estimated at six tokens, and two credits pay for a thousand.
  assert.equal(JSON.parse(model.asked[0]!.body).max_tokens, 1000 - 6);
  assert.equal(answer.creditsUsed, 2);
  assert.deepEqual([dear.code, model.asked.length], ["invalid_body", 1]);
  assert.equal(project.named().filter((name) => name === "credits_hold").length, 1);
});

Deno.test("a provider that stays away is asked three times", async () => {
  await using project = new Project();
  const model = project.world.at(MODEL, () => new Response("no", { status: 503 }));

  const answer = await project.app()(await project.request());

  assert.equal((await answer.json()).code, "model_unavailable");
  assert.equal(model.asked.length, 3);
});

Deno.test("an error that is told in a stream is no answer, though the stream ends as one", async () => {
  await using project = new Project();
  const events = [{ choices: [{ index: 0, delta: { content: "half" } }] }, {
    error: { message: "overloaded" },
  }];
  const stream = [...events.map((each) => JSON.stringify(each)), "[DONE]"].map((each) => `data: ${each}\n\n`);
  project.world.at(MODEL, () => new Response(stream.join("")));

  const answer = await project.app()(await project.request());

  assert.equal((await answer.json()).code, "model_unavailable");
  assert.equal(project.named().at(-1), "credits_release");
});

Deno.test("an answer is read whatever lines end with, and wherever its bytes are split", async () => {
  for (const lineEnd of ["\n", "\r\n", "\r"]) {
    await using project = new Project();
    const events = ["grüße", " 👋"].map((content) => JSON.stringify({ choices: [{ delta: { content } }] }));
    const text = [": hello", "", ...events.flatMap((each) => [`data:${each}`, ""]), "data: [DONE]", "", ""]
      .join(lineEnd);
    const bytes = new TextEncoder().encode(text);
    const body = () => ReadableStream.from(Array.from(bytes, (_, n) => bytes.slice(n, n + 1)));
    project.world.at(MODEL, () => new Response(body()));

    const answer = await (await project.app()(await project.request())).json();

    assert.equal(answer.response, "grüße 👋", JSON.stringify(lineEnd));
  }
});

/** How often holds were looked for that nobody ended. */
function looks(project: Project): number {
  return project.named().filter((name) => name === "credits_expire").length;
}

Deno.test("where there is no backend, forgotten holds are looked for once a minute", async () => {
  await using project = new Project();
  project.world.variables.delete("RAILWAY_BACKEND_URL");
  project.answers.switchyard_credits_expire = () => ({ released: 2, more: false });
  project.speaks(["fine"]);
  const app = project.app();

  for (const [laterMs, wanted] of [[0, 1], [59_000, 1], [1_000, 2]] as const) {
    project.world.monotonicMs += laterMs;
    const answer = await app(await project.request());
    assert.equal((await answer.json()).response, "fine");
    await Promise.all(project.world.works);
    assert.equal(looks(project), wanted);
  }
  const asked = project.calls.find(({ name }) => name === "switchyard_credits_expire");
  assert.deepEqual(asked?.args, { p_after_s: 900, p_limit: 100 });
  assert.ok(project.world.logged.includes(JSON.stringify({ event: "holds_released", released: 2 })));
});

Deno.test("an answer needs nobody to look for forgotten holds, and a stranger makes nobody look", async () => {
  await using project = new Project();
  project.world.variables.delete("RAILWAY_BACKEND_URL");
  project.answers.switchyard_credits_expire = () => new Response("", { status: 504 });
  project.speaks(["fine"]);
  const app = project.app();

  const stranger = await project.request();
  stranger.headers.delete("authorization");
  assert.equal((await app(stranger)).status, 401);
  assert.equal(looks(project), 0);
  const answer = await app(await project.request());

  assert.equal((await answer.json()).response, "fine");
  await Promise.all(project.world.works);
  assert.equal(looks(project), 1);
});

Deno.test("where there is a backend, it looks for forgotten holds", async () => {
  await using project = new Project();
  project.speaks(["fine"]);

  await (await project.app()(await project.request())).text();

  assert.equal(looks(project), 0);
});
