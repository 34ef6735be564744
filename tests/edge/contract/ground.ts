// What every test of the contract stands on: people, agents, the model's script, and a look at the rows.
//
// The function is asked over HTTP and never imported, so the same suite tests whatever is at `TARGET_URL`.

import assert from "node:assert/strict";

// deno-lint-ignore no-explicit-any -- JSON documents, whose shape each test knows.
export type Document = Record<string, any>;

function told(name: string): string {
  const value = Deno.env.get(name);
  assert.ok(value, `${name} is not set`);
  return value;
}

export const TARGET = told("TARGET") as "edge" | "twin";
export const OWNER = told("CREDITS_OWNER") as "backend" | "caller" | "off";
export const TARGET_URL = told("TARGET_URL");
export const BACKEND_URL = told("BACKEND_URL");
export const CANARY_URL = told("CANARY_URL");
export const ORIGIN = told("ORIGIN");
const CONTROL_URL = told("CONTROL_URL");
const MODEL_URL = told("MODEL_URL");

async function posted<T>(url: string, document: unknown): Promise<T> {
  const body = JSON.stringify(document);
  const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
  const text = await answer.text();
  assert.ok(answer.ok, text);
  return JSON.parse(text);
}

export function sql<T = Document>(query: string, ...arguments_: unknown[]): Promise<T[]> {
  return posted(`${CONTROL_URL}/sql`, { query, arguments: arguments_ });
}

export async function tokenOf(userId: string, changes: Document = {}, algorithm = "ES256"): Promise<string> {
  return (await posted<{ token: string }>(`${CONTROL_URL}/token`, { userId, changes, algorithm })).token;
}

export interface Attack {
  name: string;
  headers: [string, string][];
  statuses: number[];
}

export function attacks(userId: string): Promise<Attack[]> {
  return posted(`${CONTROL_URL}/attacks`, { userId });
}

export function putAway(isAway: boolean): Promise<unknown> {
  return posted(`${CONTROL_URL}/rest`, { isAway });
}

/** What was asked of the server that nobody may ask. */
export async function seenByCanary(): Promise<string[]> {
  return await (await fetch(`${CONTROL_URL}/seen`)).json();
}

/** Answer by these rules from now on, and forget the calls so far. */
export function play(...rules: Document[]): Promise<unknown> {
  return posted(`${MODEL_URL}/script`, rules);
}

export function say(text: string, more: Document = {}): Promise<unknown> {
  return play({ reply: { text, ...more } });
}

export async function calls(): Promise<Document[]> {
  return await (await fetch(`${MODEL_URL}/log`)).json();
}

export interface Person {
  id: string;
  token: string;
}

export async function person({ balance = 100, plan = "enterprise" } = {}): Promise<Person> {
  const id = crypto.randomUUID();
  await sql("insert into auth.users (id, email) values ($1, $2)", id, `${id}@x`);
  await sql(
    "insert into public.credit_balances (user_id, credits_remaining, plan_type) values ($1, $2, $3)",
    id,
    balance,
    plan,
  );
  return { id, token: await tokenOf(id) };
}

/** Fields are columns; a light chat agent of `owner` unless they say otherwise. */
export async function agent(owner: Person, fields: Document = {}): Promise<string> {
  const row: Document = { user_id: owner.id, name: "Helper", kind: "chat", price: { flat: 1 }, ...fields };
  const names = Object.keys(row);
  const places = names.map((_, place) => `$${place + 1}`);
  const query = `insert into public.agents (${names}) values (${places}) returning id`;
  return (await sql<{ id: string }>(query, ...Object.values(row)))[0]!.id;
}

/** Fields are columns. */
export async function agentFunction(agentId: string, fields: Document): Promise<void> {
  const row: Document = { agent_id: agentId, name: "weather", config: {}, ...fields };
  const names = Object.keys(row);
  const places = names.map((_, place) => `$${place + 1}`);
  await sql(`insert into public.agent_functions (${names}) values (${places})`, ...Object.values(row));
}

/** A key of `owner`'s, as it was shown once. */
export async function apiKey(owner: Person, { isActive = true } = {}): Promise<string> {
  const key = `sy_${crypto.randomUUID().replaceAll("-", "")}`;
  await sql(
    "insert into public.api_keys (user_id, key_name, key_hash, key_prefix, is_active)" +
      " values ($1, 'test', encode(sha256(convert_to($2, 'UTF8')), 'hex'), left($2, 12), $3)",
    owner.id,
    key,
    isActive,
  );
  return key;
}

export function bodyOf(agentId: string, content = "hello", more: Document = {}): Document {
  return { agentId, messages: [{ role: "user", content }], ...more };
}

export type Lines = Record<string, string>;

export function post(body: unknown, headers: Lines = {}, signal?: AbortSignal): Promise<Response> {
  return fetch(TARGET_URL, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** As the user itself. */
export function ask(
  who: Person,
  body: Document,
  headers: Lines = {},
  signal?: AbortSignal,
): Promise<Response> {
  return post(body, { authorization: `Bearer ${who.token}`, ...headers }, signal);
}

export async function answered(response: Response): Promise<Document> {
  const text = await response.text();
  assert.equal(response.status, 200, text);
  assert.equal(response.headers.get("content-type"), "application/json");
  return JSON.parse(text);
}

/** The problem document of `response`, which is complete and has this status and code. */
export async function problem(response: Response, status: number, code: string): Promise<Document> {
  const text = await response.text();
  assert.equal(response.status, status, text);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  const document: Document = JSON.parse(text);
  assert.equal(document.code, code, text);
  assert.equal(document.status, status);
  assert.equal(document.type, `urn:switchyard:error:${code}`);
  assert.equal(document.requestId, response.headers.get("x-request-id"));
  assert.equal(document.error, document.title);
  assert.equal(document.message, document.detail);
  return document;
}

/** The `data` of every event of a stream, read as a browser would; each carries its number as id. */
export function messagesIn(stream: string): Document[] {
  const found: Document[] = [];
  for (const block of stream.split("\n\n")) {
    const fields = new Map(
      block.split("\n").filter((line) => line !== "" && !line.startsWith(":"))
        .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
    );
    if (!fields.has("data")) continue;
    const message: Document = JSON.parse(fields.get("data")!);
    if (!fields.has("event")) assert.equal(Number(fields.get("id")), message.seq);
    found.push(message);
  }
  return found;
}

export async function streamed(response: Response): Promise<Document[]> {
  const text = await response.text();
  assert.equal(response.status, 200, text);
  assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
  return messagesIn(text);
}

export interface Entry {
  kind: string;
  amount: number;
  held: number;
  key: string | null;
}

/** Without the opening of the account. */
export function ledger(who: Person): Promise<Entry[]> {
  return sql<Entry>(
    "select kind, amount, held, key from switchyard.ledger where user_id = $1 and kind <> 'opening' order by id",
    who.id,
  );
}

export async function kinds(who: Person): Promise<string[]> {
  return (await ledger(who)).map(({ kind }) => kind);
}

export async function balance(who: Person): Promise<{ balance: number; held: number }> {
  const query = "select credits_remaining as balance, held from public.credit_balances where user_id = $1";
  return (await sql<{ balance: number; held: number }>(query, who.id))[0]!;
}

export async function runsOf(who: Person): Promise<Document[]> {
  return await sql(
    "select id, status, idempotency_key from switchyard.runs r left join lateral" +
      " (select key as idempotency_key from switchyard.request_keys k where k.run_id = r.id) k on true" +
      " where user_id = $1 order by created_at",
    who.id,
  );
}

const HOURLY = 50;

/** A user of the free plan who may ask so many times more in this hour, which does not end meanwhile. */
export async function personWithLeft(requests: number): Promise<Person> {
  const isEnding = async () => {
    const [row] = await sql<{ left: number }>(
      "select 3600 - extract(epoch from now())::bigint % 3600 as left",
    );
    return row!.left < 30;
  };
  while (await isEnding()) await new Promise((resolve) => setTimeout(resolve, 500));
  const who = await person({ plan: "free" });
  await sql(
    "insert into switchyard.rate_windows (user_id, window_s, window_start, used, used_before)" +
      " values ($1, 3600, date_bin('1 hour', now(), timestamptz 'epoch'), $2, 0)",
    who.id,
    HOURLY - requests,
  );
  return who;
}

/** How many requests were counted against the user's plan in this hour. */
export async function counted(who: Person): Promise<number> {
  const query = "select used from switchyard.rate_windows where user_id = $1 and window_s = 3600";
  return (await sql<{ used: number }>(query, who.id))[0]?.used ?? 0;
}

export async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  for (let tries = 0; tries < 2400; tries++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail(`it never happened that ${what}`);
}

/** No rule of the database's own audit is broken. */
export async function audited(): Promise<void> {
  const [row] = await sql<{ broken: Document[] }>("select public.switchyard_audit() as broken");
  assert.deepEqual(row!.broken, []);
}
