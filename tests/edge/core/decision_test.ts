// Where a run goes: every case of the table that both languages read.

import assert from "node:assert/strict";
import { decide, type Decision, readOrigin } from "../../../supabase/functions/_shared/decision.ts";

const TABLE = JSON.parse(Deno.readTextFileSync(new URL("../../golden/routing.json", import.meta.url)));

/** What was decided, as the table says it. */
function told(decision: Decision): unknown {
  if (decision.to !== "refuse") return decision;
  const { to, why, error } = decision;
  return { to, why, status: error.status, code: error.code, reason: error.detail, facts: error.facts };
}

for (const { name, given, expected } of TABLE.cases) {
  Deno.test(name, () => assert.deepEqual(told(decide(given)), expected));
}

Deno.test("the table is the whole one", () => {
  assert.ok(TABLE.cases.length >= 124);
});

Deno.test("an origin is its own spelling", () => {
  for (const { given } of TABLE.cases) {
    const origin = readOrigin(given.agent?.railwayUrl ?? "");
    if (origin !== null) assert.equal(readOrigin(origin), origin);
  }
});
