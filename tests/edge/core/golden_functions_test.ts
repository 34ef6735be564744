// What an agent's functions are: every case of the table that both languages read.

import assert from "node:assert/strict";
import { firingOf, readFunctions } from "../../../supabase/functions/agent-runtime/firing.ts";
import { requestOf } from "../../../supabase/functions/agent-runtime/functions.ts";
import { OutboundFailed } from "../../../supabase/functions/agent-runtime/outbound.ts";

const TABLE = JSON.parse(Deno.readTextFileSync(new URL("../../golden/functions.json", import.meta.url)));

for (const { name, message, functions, expected } of TABLE.firing) {
  Deno.test(name, () => {
    const { functions: called, reply } = firingOf(readFunctions(functions), [{
      role: "user",
      content: message,
    }]);

    assert.deepEqual({ called: called.map((each) => each.name), reply }, expected);
  });
}

for (const { name, config, expected } of TABLE.requests) {
  Deno.test(name, () => {
    if (expected === null) {
      assert.throws(() => requestOf(config), OutboundFailed);
    } else {
      assert.deepEqual({ body: null, ...requestOf(config) }, expected);
    }
  });
}
