// Who is taken for a user, and every way we know of to be taken for one wrongly.

import assert from "node:assert/strict";
import {
  agent,
  answered,
  apiKey,
  ask,
  attacks,
  bodyOf,
  calls,
  kinds,
  person,
  post,
  problem,
  runsOf,
  say,
  seenByCanary,
  sql,
  tokenOf,
  until,
} from "./ground.ts";

Deno.test("no forged or foreign credential is taken, and nothing is fetched for it", async () => {
  const who = await person();
  const body = JSON.stringify(bodyOf(await agent(who)));
  await say("fine");
  const taken: string[] = [];

  for (const { name, headers, statuses } of await attacks(who.id)) {
    const answer = await tried(body, headers);
    if (answer !== null && ![401, ...statuses].includes(answer)) taken.push(`${name}: ${answer}`);
  }

  assert.deepEqual(taken, []);
  assert.deepEqual(await calls(), []);
  assert.deepEqual(await kinds(who), []);
  assert.deepEqual(await seenByCanary(), []);
});

/** The status, lines of one name joined as `fetch` sends them; null for what cannot even be sent, or is not taken for HTTP. */
async function tried(body: string, lines: [string, string][]): Promise<number | null> {
  let headers: Headers;
  try {
    headers = new Headers([...lines, ["content-type", "application/json"]]);
  } catch {
    return null;
  }
  const answer = await post(body, Object.fromEntries(headers)).catch(() => null);
  await answer?.body?.cancel();
  return answer?.status ?? null;
}

Deno.test("tokens of both published kinds are taken", async () => {
  const who = await person();
  const body = bodyOf(await agent(who));
  await say("fine");

  for (const algorithm of ["ES256", "RS256"]) {
    await answered(await post(body, { authorization: `Bearer ${await tokenOf(who.id, {}, algorithm)}` }));
  }
});

Deno.test("a key of the project is no user", async () => {
  const who = await person();
  const body = bodyOf(await agent(who));
  const now = Math.floor(Date.now() / 1000);
  const anon = await tokenOf(who.id, { role: "anon", iss: "supabase", exp: now + 3600 });

  await problem(await post(body, { authorization: `Bearer ${anon}`, apikey: anon }), 401, "invalid_token");
  const publishable = "sb_publishable_0123456789abcdefghijkl";
  await problem(await post(body, { authorization: `Bearer ${publishable}` }), 401, "invalid_token");
});

Deno.test("the project's own apikey header beside a token is of no account", async () => {
  const who = await person();
  await say("fine");

  const answer = await ask(who, bodyOf(await agent(who)), {
    apikey: "sb_publishable_x",
    "x-client-info": "supabase-js",
  });

  await answered(answer);
});

Deno.test("an API key runs as its owner, light and heavy, and its use is noted", async () => {
  const who = await person();
  const key = await apiKey(who);
  await say("fine");

  await answered(await post(bodyOf(await agent(who)), { "x-api-key": key }));
  await answered(await post(bodyOf(await agent(who, { is_heavy: true })), { "x-api-key": key }));

  assert.deepEqual(await kinds(who), ["hold", "settle", "hold", "settle"]);
  assert.equal((await runsOf(who)).length, 1);
  const noted = () =>
    sql("select 1 from public.api_keys where user_id = $1 and last_used_at is not null", who.id);
  await until(async () => (await noted()).length === 1, "the use of the key is noted");
});

Deno.test("a key that is revoked, unknown or malformed reads the same", async () => {
  const who = await person();
  const body = bodyOf(await agent(who));
  const revoked = await apiKey(who, { isActive: false });
  const details = new Set<string>();

  for (const key of [revoked, `sy_${"a".repeat(32)}`, "sy_short", revoked.slice(0, 12)]) {
    details.add((await problem(await post(body, { "x-api-key": key }), 401, "invalid_token")).detail);
  }

  assert.equal(details.size, 1);
});

Deno.test("a token and a key are taken together only for one user", async () => {
  const who = await person();
  const other = await person();
  const body = bodyOf(await agent(who));
  await say("fine");

  await answered(await ask(who, body, { "x-api-key": await apiKey(who) }));
  const answer = await ask(who, body, { "x-api-key": await apiKey(other) });

  await problem(answer, 400, "conflicting_credentials");
});

Deno.test("a bad key beside a good token is refused", async () => {
  const who = await person();

  const answer = await ask(who, bodyOf(await agent(who)), { "x-api-key": `sy_${"a".repeat(32)}` });

  await problem(answer, 401, "invalid_token");
});
