// How fresh the project's keys are: what a storm of strange key ids costs, and what a project that is away.

import assert from "node:assert/strict";
import { lifetimeS } from "../../../supabase/functions/_shared/jwks.ts";
import type { App } from "../../../supabase/functions/agent-runtime/app.ts";
import { Project } from "./project.ts";

async function statusOf(project: Project, app: App, kid = "es-1"): Promise<number> {
  const authorization = `Bearer ${await project.token({ kid })}`;
  const answer = await app(await project.request({}, { authorization }));
  await answer.text();
  return answer.status;
}

Deno.test("keys are fetched once for many at once, and again when they are old", async () => {
  await using project = new Project();
  project.speaks(["fine"]);
  const app = project.app();

  const first = await Promise.all(Array.from({ length: 5 }, () => statusOf(project, app)));
  assert.deepEqual(first, Array(5).fill(200));
  assert.equal(project.keyFetches, 1);

  project.world.monotonicMs += 599_000;
  assert.equal(await statusOf(project, app), 200);
  assert.equal(project.keyFetches, 1);

  project.world.monotonicMs += 2_000;
  assert.equal(await statusOf(project, app), 200);
  assert.equal(project.keyFetches, 2);
});

Deno.test("a storm of unknown key ids costs one fetch a cooldown", async () => {
  await using project = new Project();
  project.speaks(["fine"]);
  const app = project.app();
  assert.equal(await statusOf(project, app), 200);

  project.world.monotonicMs += 31_000;
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, n) => statusOf(project, app, `strange-${n}`)),
  );
  assert.deepEqual(answers, Array(8).fill(401));
  assert.equal(project.keyFetches, 2);

  project.world.monotonicMs += 29_000;
  assert.equal(await statusOf(project, app, "strange"), 401);
  assert.equal(project.keyFetches, 2);

  project.world.monotonicMs += 2_000;
  assert.equal(await statusOf(project, app, "strange"), 401);
  assert.equal(project.keyFetches, 3);
});

Deno.test("the last good keys go on when the project is away", async () => {
  await using project = new Project();
  project.speaks(["fine"]);
  const app = project.app();
  assert.equal(await statusOf(project, app), 200);
  project.keysAreAway = true;

  project.world.monotonicMs += 700_000;

  assert.equal(await statusOf(project, app), 200);
  assert.equal(await statusOf(project, app, "strange"), 502);
});

Deno.test("without any keys a good token is not called bad", async () => {
  await using project = new Project();
  project.speaks(["fine"]);
  const app = project.app();
  project.keysAreAway = true;

  const answer = await app(await project.request());

  assert.equal((await answer.json()).code, "backend_failed");
  assert.equal(answer.headers.get("retry-after"), "5");
  project.keysAreAway = false;
  assert.equal(await statusOf(project, app), 502);
  project.world.monotonicMs += 2_001;
  assert.equal(await statusOf(project, app), 200);
});

Deno.test("a lifetime is read from the answer, within bounds", () => {
  const told = [null, "no-cache", "max-age=5", "public, max-age=900", "max-age=99999", "s-max-age=900"];

  assert.deepEqual(told.map(lifetimeS), [600, 600, 60, 900, 3600, 600]);
});

Deno.test("tokens of a shared secret are taken where one is set, and only there", async () => {
  await using project = new Project();
  project.speaks(["fine"]);
  const secret = "a-shared-secret-of-at-least-32-characters";
  const token = await sharedToken(project, secret);
  const asked = () => project.request({}, { authorization: `Bearer ${token}` });

  const without = await project.app()(await asked());
  project.world.variables.set("JWT_SECRET_KEY", secret);
  const taken = await project.app()(await asked());
  project.world.variables.set("JWT_SECRET_KEY", `${secret}-another`);
  const foreign = await project.app()(await asked());

  const answers = [without, taken, foreign];
  await Promise.all(answers.map((each) => each.text()));
  assert.deepEqual(answers.map(({ status }) => status), [401, 200, 401]);
});

async function sharedToken(project: Project, secret: string): Promise<string> {
  const [, payload] = (await project.token()).split(".");
  const head = `${btoa('{"alg":"HS256"}').replaceAll("=", "")}.${payload}`;
  const how = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(secret), how, false, ["sign"]);
  const signed = new Uint8Array(await crypto.subtle.sign(how, key, new TextEncoder().encode(head)));
  const text = btoa(String.fromCharCode(...signed));
  return `${head}.${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}
