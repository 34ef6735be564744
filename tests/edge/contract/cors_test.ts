// Which pages may ask, and that no other may read an answer.

import assert from "node:assert/strict";
import { agent, answered, ask, bodyOf, ORIGIN, person, post, problem, say, TARGET_URL } from "./ground.ts";

function preflight(
  origin: string,
  headers = "authorization, content-type, idempotency-key, apikey",
): Promise<Response> {
  return fetch(TARGET_URL, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": headers,
    },
  });
}

Deno.test("a page of an allowed origin may ask, and read what it needs", async () => {
  const before = await preflight(ORIGIN);
  await before.body?.cancel();
  assert.ok(before.ok);
  assert.equal(before.headers.get("access-control-allow-origin"), ORIGIN);
  assert.match(before.headers.get("access-control-allow-methods") ?? "", /POST/);
  assert.match(before.headers.get("access-control-allow-headers")?.toLowerCase() ?? "", /idempotency-key/);
  assert.equal(before.headers.get("access-control-allow-credentials"), null);

  const who = await person();
  await say("fine");
  const answer = await ask(who, bodyOf(await agent(who)), { origin: ORIGIN });

  await answered(answer);
  assert.equal(answer.headers.get("access-control-allow-origin"), ORIGIN);
  assert.match(answer.headers.get("access-control-expose-headers")?.toLowerCase() ?? "", /retry-after/);
  assert.match(answer.headers.get("vary") ?? "", /Origin/);
});

Deno.test("a page of another origin may not ask", async () => {
  for (
    const origin of [
      "https://evil.example",
      `${ORIGIN}.evil.example`,
      "null",
      ORIGIN.replace("https", "http"),
    ]
  ) {
    const answer = await preflight(origin);

    await problem(answer, 403, "origin_not_allowed");
    assert.equal(answer.headers.get("access-control-allow-origin"), null);
  }
});

Deno.test("whatever supabase-js sends along may be asked with", async () => {
  const always = "authorization, x-client-info, apikey, content-type";
  const sometimes = "x-retry-count, traceparent, tracestate, baggage, x-region";

  const answer = await preflight(ORIGIN, `${always}, ${sometimes}`);

  await answer.body?.cancel();
  assert.ok(answer.ok, `${answer.status}`);
});

Deno.test("a header that is not taken may not be asked with", async () => {
  await problem(await preflight(ORIGIN, "x-railway-secret"), 403, "origin_not_allowed");
});

Deno.test("a refusal can be read by an allowed page, and by no other", async () => {
  const body = bodyOf(crypto.randomUUID());
  const ours = await post(body, { origin: ORIGIN });
  const other = await post(body, { origin: "https://evil.example" });

  await problem(ours, 401, "invalid_token");
  await problem(other, 401, "invalid_token");
  assert.equal(ours.headers.get("access-control-allow-origin"), ORIGIN);
  assert.equal(other.headers.get("access-control-allow-origin"), null);
});
