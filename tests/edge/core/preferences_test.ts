// What a caller prefers, as both languages read it, and what a backend is told of it.

import assert from "node:assert/strict";
import { parsePrefer, waitLine } from "../../../supabase/functions/_shared/preferences.ts";

const TABLE = JSON.parse(Deno.readTextFileSync(new URL("../../golden/preferences.json", import.meta.url)));

for (const { line, respondAsync, waitS } of TABLE.cases) {
  Deno.test(`Prefer ${line} is read as the backend reads it`, () => {
    assert.deepEqual(parsePrefer(line), { respondAsync, waitS });
  });

  Deno.test(`Prefer ${line} is told to a backend in words that mean the same, and no longer a wait`, () => {
    const told = waitLine(parsePrefer(line), 120);

    const wanted = waitS === null && respondAsync ? null : Math.min(waitS ?? 100, 120);
    assert.deepEqual(parsePrefer(told), { respondAsync, waitS: wanted });
    assert.match(told, /^(respond-async|(respond-async, )?wait=[0-9]{1,3})$/);
  });
}

Deno.test("the table is the whole one", () => {
  assert.ok(TABLE.cases.length >= 36);
});
