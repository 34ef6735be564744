// What an agent's functions do before its model is asked, and where they may not lead.

import assert from "node:assert/strict";
import {
  agent,
  agentFunction,
  answered,
  ask,
  balance,
  bodyOf,
  calls,
  CANARY_URL,
  type Document,
  kinds,
  ledger,
  person,
  say,
  seenByCanary,
  sql,
  streamed,
} from "./ground.ts";

/** The system messages the model heard. */
async function notes(): Promise<string[]> {
  const [call] = await calls();
  const heard: Document[] = call!.body.messages;
  return heard.filter(({ role }) => role === "system").map(({ content }) => content);
}

Deno.test("a conditional ends the request with its reply, for 1 credit and without the model", async () => {
  const who = await person();
  const agentId = await agent(who, { price: { flat: 7 } });
  await agentFunction(agentId, {
    function_type: "conditional",
    trigger_keywords: ["opening hours"],
    config: { response: "Nine to five." },
  });
  await say("from the model");

  const answer = await answered(await ask(who, bodyOf(agentId, "What are your Opening Hours?")));
  const events = await streamed(await ask(who, bodyOf(agentId, "OPENING HOURS!", { stream: true })));

  assert.deepEqual([answer.response, answer.creditsUsed], ["Nine to five.", 1]);
  assert.deepEqual(events.map(({ type }) => type), ["started", "chunk", "done"]);
  assert.deepEqual([events[2]!.response, events[2]!.creditsUsed], ["Nine to five.", 1]);
  assert.deepEqual(await calls(), []);
  assert.deepEqual(await balance(who), { balance: 98, held: 0 });
});

Deno.test("a reply under its other name is one, too", async () => {
  const who = await person({ balance: 1 });
  const agentId = await agent(who, { price: { flat: 7 } });
  await agentFunction(agentId, {
    function_type: "conditional",
    trigger_keywords: ["hi"],
    config: { reply: "Hi!" },
  });

  assert.equal((await answered(await ask(who, bodyOf(agentId, "hi")))).response, "Hi!");
  assert.deepEqual((await ledger(who)).map(({ amount, held }) => [amount, held]), [[0, 1], [-1, -1]]);
});

Deno.test("only whole words of the newest message of the user fire", async () => {
  const who = await person();
  const agentId = await agent(who);
  await agentFunction(agentId, {
    function_type: "conditional",
    trigger_keywords: ["art", "c++", "straße", ""],
    config: { response: "fired" },
  });
  await say("from the model");

  for (
    const [content, wanted] of [
      ["start the party", "from the model"],
      ["ART?", "fired"],
      ["modern art.", "fired"],
      ["I write C++", "fired"],
      ["c+ is no language", "from the model"],
      ["Welche Straße?", "fired"],
      ["", "from the model"],
    ] as const
  ) {
    const messages = [
      { role: "user", content: "art" },
      { role: "assistant", content: "art" },
      { role: "user", content: content || "nothing" },
    ];
    assert.equal((await answered(await ask(who, { agentId, messages }))).response, wanted, content);
  }
});

Deno.test("a text is put before the model under the function's name", async () => {
  const who = await person();
  const agentId = await agent(who, { system_prompt: "Be brief." });
  await agentFunction(agentId, {
    name: "Reminder",
    function_type: "data_transform",
    trigger_keywords: ["weather"],
    config: { template: "They said: {{message}} Twice: {{message}}" },
  });
  await say("fine");

  await answered(await ask(who, bodyOf(agentId, "weather for $1 & $&?")));

  const [opening, note] = await notes();
  assert.equal(opening, "Be brief.");
  const twice = "weather for $1 & $&?";
  assert.equal(note, `# Reminder\n\nThey said: ${twice} Twice: ${twice}`);
});

Deno.test("what a template makes is as long as 64000 characters, and no longer", async () => {
  const who = await person();
  const agentId = await agent(who);
  const config = { template: "{{message}}" };
  await agentFunction(agentId, { function_type: "data_transform", trigger_keywords: ["go"], config });
  const longest = 64_000 - config.template.length;

  for (const [chars, wanted] of [[longest, longest], [longest + 1, "failed"]] as const) {
    await say("fine");
    await answered(await ask(who, bodyOf(agentId, "go ".padEnd(chars, "x"))));
    const [note] = await notes();
    const told = note!.slice("# weather\n\n".length);
    assert.equal(told.startsWith("The function failed.") ? "failed" : told.length, wanted);
  }
});

Deno.test("functions come in their order, and those that are off do not", async () => {
  const who = await person();
  const agentId = await agent(who);
  for (
    const [name, order, isEnabled] of [["second", 2, true], ["off", 1, false], ["first", 1, true]] as const
  ) {
    await agentFunction(agentId, {
      name,
      function_type: "data_transform",
      trigger_keywords: ["go"],
      config: { template: name },
      execution_order: order,
      is_enabled: isEnabled,
    });
  }
  await say("fine");

  await answered(await ask(who, bodyOf(agentId, "go")));

  assert.deepEqual(await notes(), ["# first\n\nfirst", "# second\n\nsecond"]);
});

Deno.test("a conditional without a reply is as if it were not there", async () => {
  const who = await person();
  const agentId = await agent(who);
  for (const config of [{}, { response: " " }]) {
    await agentFunction(agentId, { function_type: "conditional", trigger_keywords: ["go"], config });
  }
  await say("fine");

  assert.equal((await answered(await ask(who, bodyOf(agentId, "go")))).response, "fine");
  assert.deepEqual(await notes(), []);
});

Deno.test("a response that is null leaves the word to the reply", async () => {
  const who = await person();
  const agentId = await agent(who);
  await agentFunction(agentId, {
    function_type: "conditional",
    trigger_keywords: [null, "go"],
    config: { response: null, reply: "Hi!" },
  });
  await say("from the model");

  assert.equal((await answered(await ask(who, bodyOf(agentId, "go")))).response, "Hi!");
});

Deno.test("a config that is null is a function that says so, and no broken agent", async () => {
  const who = await person();
  const agentId = await agent(who);
  await agentFunction(agentId, { function_type: "data_transform", trigger_keywords: ["go"] });
  await agentFunction(agentId, { function_type: "conditional", trigger_keywords: ["go"] });
  await sql("update public.agent_functions set config = 'null'::jsonb where agent_id = $1", agentId);
  await say("fine");

  assert.equal((await answered(await ask(who, bodyOf(agentId, "go")))).response, "fine");
  const heard = await notes();
  assert.equal(heard.length, 1);
  assert.match(heard[0]!, /^# weather\n\nThe function failed\./);
});

Deno.test("a type of the app's own is left out", async () => {
  const who = await person();
  const agentId = await agent(who);
  const rule = "agent_functions_function_type_check";
  const allowed = "('api_call', 'conditional', 'data_transform', 'webhook')";
  await say("fine");
  await sql(`alter table public.agent_functions drop constraint ${rule}`);
  try {
    await agentFunction(agentId, { function_type: "send_email", trigger_keywords: ["go"] });

    assert.equal((await answered(await ask(who, bodyOf(agentId, "go")))).response, "fine");
    assert.deepEqual(await notes(), []);
  } finally {
    await sql("delete from public.agent_functions where agent_id = $1", agentId);
    await sql(
      `alter table public.agent_functions add constraint ${rule} check (function_type in ${allowed})`,
    );
  }
});

const HOST = new URL(CANARY_URL).host;
const FORBIDDEN = {
  "plain http": `http://${HOST}/x`,
  "a port of its own": `https://localhost.example:${HOST.split(":")[1]}/x`,
  "this machine's name": "https://localhost/x",
  "this machine's address": `https://127.0.0.1/x`,
  "an address in one number": "https://2130706433/x",
  "an address in hexadecimal": "https://0x7f.0.0.1/x",
  "an IPv6 address": "https://[::1]/x",
  "an IPv4 address inside one": "https://[::ffff:127.0.0.1]/x",
  "the metadata service": "https://169.254.169.254/latest",
  "a name of one label": "https://intranet/x",
  "a name of a local network": "https://printer.local/x",
  "an internal name": "https://db.internal/x",
  "a user name": "https://user:pass@example.com/x",
  "another scheme": "file:///etc/passwd",
  "a name that hides another": "https://example.com\\@127.0.0.1/x",
  "no address": "",
};

for (const [name, url] of Object.entries(FORBIDDEN)) {
  Deno.test(`a function with ${name} fails, and the model is told no more than that`, async () => {
    const who = await person();
    const agentId = await agent(who);
    const secret = { url, headers: { "x-own": "the-owners-own-secret" } };
    await agentFunction(agentId, { function_type: "api_call", trigger_keywords: ["go"], config: secret });
    await agentFunction(agentId, { function_type: "webhook", trigger_keywords: ["go"], config: secret });
    await say("fine");

    const answer = await answered(await ask(who, bodyOf(agentId, "go")));

    assert.equal(answer.response, "fine");
    const heard = await notes();
    assert.equal(heard.length, 1);
    assert.match(heard[0]!, /^# weather\n\nThe function failed\./);
    if (url !== "") assert.ok(!heard[0]!.includes(url));
    assert.ok(!JSON.stringify([heard, answer]).includes("secret"));
    assert.deepEqual(await seenByCanary(), []);
  });
}

Deno.test("a function that fails costs the answer nothing", async () => {
  const who = await person();
  const agentId = await agent(who);
  const config = { url: "https://127.0.0.1/x" };
  await agentFunction(agentId, { function_type: "api_call", trigger_keywords: ["go"], config });
  await say("fine");

  const { creditsUsed } = await answered(await ask(who, bodyOf(agentId, "go")));

  assert.equal(creditsUsed, 1);
  assert.deepEqual(await kinds(who), ["hold", "settle"]);
});
