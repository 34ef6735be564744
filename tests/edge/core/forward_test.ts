// What leaves for the backend, what comes back when there is none, and how a long stream is cut.

import assert from "node:assert/strict";
import type { JsonObject } from "../../../supabase/functions/_shared/errors.ts";
import { BACKEND, LIGHT, Project, SECRET, USER_ID } from "./project.ts";
import { json } from "./world.ts";

const RUN_ID = "0197a000-0000-7000-8000-000000000001";
const HEAVY = { ...LIGHT, is_heavy: true };
const LOCATION = { location: `/api/runs/${RUN_ID}` };
const EVENTS_URL = `${BACKEND}/api/runs/${RUN_ID}/events`;

/** A backend whose stream says `blocks` and then stays open until it is left. */
function streaming(blocks: string[], left: () => void): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    start: (controller) => blocks.forEach((each) => controller.enqueue(encoder.encode(each))),
    cancel: left,
  });
  return new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8", ...LOCATION } });
}

function block(seq: number, type: string): string {
  return `id: ${seq}\ndata: ${JSON.stringify({ type, runId: RUN_ID, seq })}\n\n`;
}

function goodbye(eventsUrl: string): string {
  const said = { type: "reconnect", runId: RUN_ID, eventsUrl };
  return `event: reconnect\ndata: ${JSON.stringify(said)}\n\n`;
}

Deno.test("a long stream is cut between events, and says where it goes on", async () => {
  await using project = new Project(HEAVY);
  const { promise: left, resolve } = Promise.withResolvers<void>();
  const half = block(3, "chunk").slice(0, 20);
  project.world.at(BACKEND, () => streaming([block(1, "started"), block(2, "chunk"), half], resolve));

  const answer = await project.app({ forwardMs: 1_000 })(await project.request({ stream: true }));

  assert.equal(await answer.text(), block(1, "started") + block(2, "chunk") + goodbye(EVENTS_URL));
  assert.equal(answer.headers.get("location"), `${BACKEND}/api/runs/${RUN_ID}`);
  await left;
});

Deno.test("a client that leaves ends the request to the backend", async () => {
  await using project = new Project(HEAVY);
  const { promise: left, resolve } = Promise.withResolvers<void>();
  project.world.at(BACKEND, () => streaming([block(1, "started")], resolve));

  const answer = await project.app()(await project.request({ stream: true }));
  const reader = answer.body!.getReader();
  await reader.read();
  await reader.cancel();

  await left;
});

Deno.test("a stream that breaks off before its last event says where it goes on", async () => {
  await using project = new Project(HEAVY);
  const headers = { "content-type": "text/event-stream", ...LOCATION };
  project.world.at(
    BACKEND,
    () => new Response(block(1, "started") + block(2, "chunk").slice(0, 9), { headers }),
  );

  const answer = await project.app()(await project.request({ stream: true }));

  assert.equal(await answer.text(), block(1, "started") + goodbye(EVENTS_URL));
});

Deno.test("a stream that has come to its end is passed as it is", async () => {
  await using project = new Project(HEAVY);
  const headers = { "content-type": "text/event-stream", ...LOCATION };
  const whole = `retry: 1000\n\n${block(1, "started")}: ping\n\n${block(2, "done")}`;
  project.world.at(BACKEND, () => new Response(whole, { headers }));

  const answer = await project.app()(await project.request({ stream: true }));

  assert.equal(await answer.text(), whole);
});

Deno.test("the backend's own goodbye is told with its whole address", async () => {
  await using project = new Project(HEAVY);
  const headers = { "content-type": "text/event-stream", ...LOCATION };
  const said = block(1, "started") + goodbye(`/api/runs/${RUN_ID}/events`);
  project.world.at(BACKEND, () => new Response(said, { headers }));

  const answer = await project.app()(await project.request({ stream: true }));

  assert.equal(await answer.text(), block(1, "started") + goodbye(EVENTS_URL));
});

Deno.test("the backend gets the same body with the user's own token, and no secret", async () => {
  await using project = new Project(HEAVY);
  const backend = project.world.at(BACKEND, () => json({ response: "x" }));
  const trace = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  const prefer = "respond-async, wait=200";
  const headers = {
    "idempotency-key": '"k 1"',
    prefer,
    traceparent: trace,
    "x-request-id": "mine",
    accept: "a/b",
  };

  const request = await project.request({ input: { big: "x" }, metadata: { n: 1 } }, headers);
  const body = await request.clone().text();
  const answer = await project.app()(request);

  assert.deepEqual(await answer.json(), { response: "x" });
  const [asked] = backend.asked;
  assert.equal(new URL(asked!.url).pathname, "/api/agent/execute");
  assert.equal(asked!.body, body);
  const told = Object.fromEntries(asked!.headers);
  assert.equal(told.authorization, request.headers.get("authorization"));
  assert.deepEqual(
    [told["idempotency-key"], told.prefer, told.traceparent, told["x-request-id"], told.accept],
    ["k 1", "respond-async, wait=120", trace, "mine", "a/b"],
  );
  assert.equal(told["x-credits-owner"], "backend");
  assert.equal(told["x-railway-secret"], undefined);
  assert.ok(!JSON.stringify(told).includes(SECRET));
});

/** What the backend was told to prefer when it was asked so; null for nothing. */
async function toldFor(
  prefer: string | null,
  body: JsonObject = {},
  { spentMs = 0 } = {},
): Promise<string | null> {
  await using project = new Project(HEAVY);
  const backend = project.world.at(BACKEND, () => json({ response: "x" }));
  project.answers.switchyard_agents_route = () => {
    project.world.monotonicMs += spentMs;
    return { available: 100, agent: project.agent };
  };

  const answer = await project.app()(await project.request(body, prefer === null ? {} : { prefer }));

  assert.deepEqual(await answer.json(), { response: "x" });
  return backend.asked[0]!.headers.get("prefer");
}

Deno.test("no spelling of a wait is longer than there is time here", async () => {
  const spelled: [string | null, string][] = [
    [null, "wait=100"],
    ["handling=lenient", "wait=100"],
    ["wait=7", "wait=7"],
    ["WAIT = 500", "wait=120"],
    ["wait=9999999999", "wait=100"],
    ["wait=00000000240", "wait=100"],
    ['wait=""240', "wait=120"],
    ['a="x, wait=7", wait=900', "wait=120"],
    ["respond-async", "respond-async"],
    ["wait=200, respond-async", "respond-async, wait=120"],
  ];

  for (const [prefer, told] of spelled) assert.equal(await toldFor(prefer), told);
});

Deno.test("time that has gone is not waited for again", async () => {
  const waits: [string | null, number, string][] = [
    [null, 25_000, "wait=100"],
    [null, 40_500, "wait=89"],
    ["wait=120", 25_000, "wait=105"],
    ["wait=120", 100_000, "wait=30"],
    ["wait=20", 100_000, "wait=20"],
    ["respond-async, wait=120", 100_000, "respond-async, wait=30"],
    [null, 135_000, "wait=0"],
  ];

  for (const [prefer, spentMs, told] of waits) assert.equal(await toldFor(prefer, {}, { spentMs }), told);
});

Deno.test("a stream is waited for by nobody", async () => {
  assert.equal(await toldFor("wait=240", { stream: true }), null);
  assert.equal(await toldFor("wait=5, respond-async", { stream: true }), "respond-async, wait=5");
});

Deno.test("only what the client has asked for is said to be applied", async () => {
  await using project = new Project(HEAVY);
  const headers = { "preference-applied": "wait=100" };
  project.world.at(BACKEND, () => json({ response: "x" }, { headers }));
  const app = project.app();

  const unasked = await app(await project.request());
  const asked = await app(await project.request({}, { prefer: "wait=100" }));

  const applied = [unasked, asked].map((answer) => answer.headers.get("preference-applied"));
  assert.deepEqual(applied, [null, "wait=100"]);
  await Promise.all([unasked.text(), asked.text()]);
});

Deno.test("a body that does not come to its end is not waited for", async () => {
  await using project = new Project(HEAVY);
  const { promise: left, resolve } = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode('{"agentId":')),
    cancel: () => resolve(),
  });
  const { headers } = await project.request();
  const request = new Request("http://localhost/agent-runtime", { method: "POST", headers, body });

  const answer = await project.app({ bodyMs: 50 })(request);

  const { status, code } = await answer.json();
  assert.deepEqual([status, code], [408, "too_slow"]);
  await left;
});

Deno.test("for an API key the service speaks, and the key stays here", async () => {
  await using project = new Project(HEAVY);
  const backend = project.world.at(BACKEND, () => json({ response: "x" }));
  const key = `sy_${"k".repeat(32)}`;

  const answer = await project.app()(await project.request({}, { "x-api-key": key }));
  await answer.text();

  const told = Object.fromEntries(backend.asked[0]!.headers);
  assert.deepEqual([told["x-railway-secret"], told["x-user-id"]], [SECRET, USER_ID]);
  assert.equal(told.authorization, undefined);
  assert.match(told["idempotency-key"]!, /^[0-9a-f-]{36}$/);
  assert.ok(!JSON.stringify(told).includes(key));
  assert.ok(!JSON.stringify(project.calls.map(({ args }) => args)).includes(key));
});

Deno.test("without the service's secret an API key runs nothing heavy", async () => {
  await using project = new Project(HEAVY);
  const backend = project.world.at(BACKEND, () => json({}));
  project.world.variables.delete("RAILWAY_BACKEND_SECRET");

  const answer = await project.app()(await project.request({}, { "x-api-key": `sy_${"k".repeat(32)}` }));

  assert.match((await answer.json()).detail, /^RAILWAY_BACKEND_SECRET/);
  assert.deepEqual(backend.asked, []);
});

for (const railway_url of [null, "https://one.example"]) {
  Deno.test(`without a backend a heavy agent (of ${railway_url}) is not configured`, async () => {
    await using project = new Project({ ...HEAVY, railway_url });
    project.world.variables.delete("RAILWAY_BACKEND_URL");
    project.world.variables.set("ALLOWED_BACKENDS", "https://one.example");
    const own = project.world.at("https://one.example", () => json({}));

    const answer = await project.app()(await project.request());

    const { status, code } = await answer.json();
    assert.deepEqual([status, code], [503, "not_configured"]);
    assert.deepEqual(own.asked, []);
  });
}

Deno.test("an agent's own backend is reached through ours, which alone gets the token", async () => {
  await using project = new Project({ ...HEAVY, railway_url: "https://one.example" });
  project.world.variables.set("ALLOWED_BACKENDS", "https://one.example");
  const own = project.world.at("https://one.example", () => json({}));
  const ours = project.world.at(BACKEND, () => json({ response: "x" }));

  await (await project.app()(await project.request())).text();

  assert.deepEqual([own.asked.length, ours.asked.length], [0, 1]);
});

Deno.test("a backend that is away, or somebody else in its place, is no answer", async () => {
  await using project = new Project(HEAVY);
  const app = project.app();
  const codes: [number, string][] = [];
  const told = async () => {
    const document = await (await app(await project.request())).json();
    codes.push([document.status, document.code]);
  };

  await told();
  const backend = project.world.at(BACKEND, () => new Response("<html>", { status: 502 }));
  await told();
  backend.handler = () => json({ status: "error", code: 502 }, { status: 502 });
  await told();
  backend.handler = () => new Response("hello", { headers: { "content-type": "text/html" } });
  await told();
  const elsewhere = project.world.at("https://evil.example", () => json({}));
  backend.handler = () => new Response(null, { status: 307, headers: { location: elsewhere.address } });
  await told();

  assert.deepEqual(codes, Array(5).fill([502, "backend_failed"]));
  assert.deepEqual(elsewhere.asked, []);
});

Deno.test("who sent no key is not told to send the same one again", async () => {
  await using project = new Project(HEAVY);
  const app = project.app();

  const details: string[] = [];
  for (const headers of [{}, { "idempotency-key": "k" }] as Record<string, string>[]) {
    details.push((await (await app(await project.request({}, headers))).json()).detail);
  }

  assert.deepEqual(details.map((detail) => detail.includes("with the same Idempotency-Key")), [false, true]);
});

Deno.test("a backend that takes too long is given up", async () => {
  await using project = new Project(HEAVY);
  const { promise, resolve } = Promise.withResolvers<Response>();
  project.world.at(BACKEND, () => promise);

  const answer = await project.app({ headMs: 100 })(await project.request());

  assert.equal((await answer.json()).code, "backend_failed");
  resolve(json({}));
});

Deno.test("what the backend refuses is passed with its document and its headers", async () => {
  await using project = new Project(HEAVY);
  const document = { type: "urn:x", status: 429, code: "rate_limited", requestId: "r" };
  const headers = {
    "content-type": "application/problem+json",
    "retry-after": "7",
    "ratelimit": "r",
    "ratelimit-policy": "p",
    "set-cookie": "a=b",
    "x-internal": "1",
  };
  project.world.at(BACKEND, () => new Response(JSON.stringify(document), { status: 429, headers }));

  const answer = await project.app()(await project.request());

  assert.deepEqual(await answer.json(), document);
  const told = ["retry-after", "ratelimit", "ratelimit-policy", "set-cookie", "x-internal"];
  assert.deepEqual(told.map((name) => answer.headers.get(name)), ["7", "r", "p", null, null]);
});

function refusal(status: number, code: string): Response {
  const document = { type: `urn:switchyard:error:${code}`, status, code };
  return json(document, { status, headers: { "content-type": "application/problem+json" } });
}

/** What is done with the user's credits when the backend answers so; null when it breaks off instead. */
async function moneyOf(answer: (() => Response) | null): Promise<unknown[]> {
  await using project = new Project({ ...HEAVY, price: { flat: 2, per_1k_tokens: 1, ceiling: 9 } });
  project.world.variables.set("CREDITS_OWNER", "caller");
  if (answer !== null) project.world.at(BACKEND, answer);

  await (await project.app()(await project.request({}, { "idempotency-key": "k" }))).text();

  const money = project.calls.filter(({ name }) => name.includes("credits"));
  assert.ok(money.every(({ args }) => args.p_key === "heavy:1:k"));
  return money.map(({ name, args }) => [name.slice(19), args.p_credits]);
}

Deno.test("a caller that charges holds before, and settles what is accepted", async () => {
  const failed = () => {
    const answer = refusal(503, "model_unavailable");
    answer.headers.set("location", LOCATION.location);
    return answer;
  };

  for (const accepted of [() => json({ response: "x" }), failed]) {
    assert.deepEqual(await moneyOf(accepted), [["hold", 9], ["settle", 9]]);
  }
});

Deno.test("a caller that charges pays for no run that the backend has charged", async () => {
  const joined = () => json({ response: "x" }, { headers: { "x-credits-owner": "backend" } });

  assert.deepEqual(await moneyOf(joined), [["hold", 9], ["release", undefined]]);
});

Deno.test("what is held is released when the run was refused for certain", async () => {
  const refused: [number, string][] = [
    [401, "invalid_token"],
    [402, "insufficient_credits"],
    [404, "agent_not_found"],
    [408, "too_slow"],
    [422, "invalid_body"],
    [429, "rate_limited"],
    [503, "draining"],
    [503, "not_configured"],
  ];

  for (const [status, code] of refused) {
    assert.deepEqual(await moneyOf(() => refusal(status, code)), [["hold", 9], ["release", undefined]], code);
  }
});

Deno.test("what is held stays held while nobody knows whether the run was accepted", async () => {
  const unknown: [string, (() => Response) | null][] = [
    ["nobody is reached", null],
    ["a proxy's page", () => new Response("<html>", { status: 502 })],
    ["a proxy's refusal", () => new Response("no", { status: 429 })],
    [
      "a redirection",
      () => new Response(null, { status: 307, headers: { location: "https://evil.example" } }),
    ],
    ["a proxy's problem", () =>
      json({ type: "about:blank", status: 403 }, {
        status: 403,
        headers: { "content-type": "application/problem+json" },
      })],
    ["half a problem", () =>
      new Response('{"type":', {
        status: 422,
        headers: { "content-type": "application/problem+json" },
      })],
    ["a database that did not answer", () => refusal(503, "database_unavailable")],
    ["a fault of the backend", () => refusal(500, "internal_error")],
  ];

  for (const [what, answer] of unknown) assert.deepEqual(await moneyOf(answer), [["hold", 9]], what);
});

Deno.test("a problem that does not come to its end is given up", async () => {
  await using project = new Project(HEAVY);
  const headers = { "content-type": "application/problem+json" };
  project.world.at(BACKEND, () => {
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode('{"type":')),
    });
    return new Response(body, { status: 503, headers });
  });

  const answer = await project.app({ headMs: 300 })(await project.request());

  assert.equal((await answer.json()).code, "backend_failed");
});

Deno.test("the platform is told to wait for a charge whose client has left", async () => {
  await using project = new Project(HEAVY);
  project.world.variables.set("CREDITS_OWNER", "caller");
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Response>();
  project.world.at(BACKEND, () => {
    asked.resolve();
    return answer.promise;
  });
  const client = new AbortController();
  const request = new Request(await project.request(), { signal: client.signal });

  const answering = project.app()(request);
  await asked.promise;
  client.abort();
  setTimeout(() => answer.resolve(json({ response: "x" })), 50);
  await Promise.all(project.world.works);

  assert.ok(project.named().includes("credits_settle"));
  await (await answering).text();
});

Deno.test("a hold that was released is followed by another, and one of somebody else's is not released", async () => {
  await using project = new Project(HEAVY);
  project.world.variables.set("CREDITS_OWNER", "caller");
  const app = project.app();
  const key = { "idempotency-key": "k" };
  project.answers.switchyard_credits_hold = ({ p_key }) =>
    p_key === "heavy:1:k" ? { is_new: false, charged: 0 } : { is_new: false, charged: null };

  await (await app(await project.request({}, key))).text();

  const money = project.calls.filter(({ name }) => name.includes("credits"));
  assert.deepEqual(money.map(({ name, args }) => [name.slice(19), args.p_key]), [
    ["hold", "heavy:1:k"],
    ["hold", "heavy:2:k"],
  ]);
});

Deno.test("a client that leaves before there is an answer ends the request, and nobody else's", async () => {
  for (const [owner, isLeft] of [["backend", true], ["caller", false]] as const) {
    await using project = new Project(HEAVY);
    project.world.variables.set("CREDITS_OWNER", owner);
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<Response>();
    project.world.at(BACKEND, () => {
      asked.resolve();
      return answer.promise;
    });
    const client = new AbortController();
    const request = new Request(await project.request(), { signal: client.signal });

    const answering = project.app()(request);
    await asked.promise;
    client.abort();
    if (!isLeft) answer.resolve(json({ response: "x" }));

    assert.equal((await answering).status, isLeft ? 502 : 200);
    answer.resolve(json({}));
    assert.equal(project.named().includes("credits_settle"), !isLeft);
  }
});

Deno.test("a hold that somebody released meanwhile is made up for by another", async () => {
  await using project = new Project(HEAVY);
  project.world.variables.set("CREDITS_OWNER", "caller");
  project.world.at(BACKEND, () => json({ response: "x" }));
  let isReleased = false;
  project.answers.switchyard_credits_hold = ({ p_key }) =>
    p_key === "heavy:1:k" && isReleased ? { is_new: false, charged: 0 } : { is_new: true, charged: null };
  project.answers.switchyard_credits_settle = ({ p_key, p_credits }) => {
    isReleased = true;
    return { charged: p_key === "heavy:1:k" ? 0 : p_credits ?? 0 };
  };

  await (await project.app()(await project.request({}, { "idempotency-key": "k" }))).text();

  const settled = project.calls.filter(({ name }) => name.endsWith("settle")).map(({ args }) => args.p_key);
  assert.deepEqual(settled, ["heavy:1:k", "heavy:2:k"]);
});
