// A project of the core's tests: it signs tokens, and its SQL functions answer as they are told.

import type { Json, JsonObject } from "../../../supabase/functions/_shared/errors.ts";
import { type App, createApp } from "../../../supabase/functions/agent-runtime/app.ts";
import { LIMITS, type Limits } from "../../../supabase/functions/agent-runtime/room.ts";
import { json, type Site, TestWorld } from "./world.ts";

export const PROJECT = "https://project.example";
export const BACKEND = "https://backend.example";
export const MODEL = "https://model.example";
export const AGENT_ID = "00000000-0000-4000-a000-000000000001";
export const USER_ID = "3d1f7c1a-6a52-4e2b-8f0b-7a5f3c9d2e10";
export const SECRET = "the-service-secret-of-these-tests-0123456789";
const JWKS_PATH = "/auth/v1/.well-known/jwks.json";
const ES256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

export const LIGHT: JsonObject = {
  id: AGENT_ID,
  is_published: true,
  is_owned: false,
  is_heavy: false,
  railway_url: null,
  kind: "chat",
  price: { flat: 1 },
  config: {},
  functions: [],
};

export class Project {
  readonly world = new TestWorld();
  readonly site: Site;
  private readonly keys = newKeys();
  maxAgeS = 600;
  keysAreAway = false;
  keyFetches = 0;
  /** What each SQL function answers. */
  readonly answers: Record<string, (args: JsonObject) => Json | Response> = {
    switchyard_agents_route: () => ({ available: 100, agent: this.agent }),
    switchyard_limits_take: () => ({ allowed: true }),
    switchyard_credits_hold: () => ({ is_new: true, charged: null }),
    switchyard_credits_settle: ({ p_credits }) => ({ charged: p_credits ?? 0 }),
    switchyard_answers_settle: ({ p_credits }) => ({ charged: p_credits ?? 0 }),
    switchyard_credits_release: () => ({ charged: 0 }),
    switchyard_keys_find: () => ({ id: AGENT_ID, user_id: USER_ID, is_touch_due: false }),
  };
  readonly calls: { name: string; args: JsonObject; headers: Headers }[] = [];

  constructor(public agent: JsonObject = LIGHT) {
    this.site = this.world.at(PROJECT, (request) => this.answer(request));
    const variables = {
      SUPABASE_URL: PROJECT,
      SUPABASE_SECRET_KEY: "sb_secret_of_these_tests",
      RAILWAY_BACKEND_URL: BACKEND,
      RAILWAY_BACKEND_SECRET: SECRET,
      OPENAI_BASE_URL: MODEL,
      OPENAI_API_KEY: "the-key-of-the-model",
    };
    for (const [name, value] of Object.entries(variables)) this.world.variables.set(name, value);
  }

  app(limits: Partial<Limits> = {}): App {
    return createApp(this.world, { ...LIMITS, ...limits });
  }

  /** The model says `words`, one a chunk. */
  speaks(words: string[]): Site {
    return this.world.at(MODEL, () => {
      const chunks = words.map((content) => ({ choices: [{ index: 0, delta: { content } }] }));
      const last = { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] };
      const events = [...chunks, last].map((each) => `data: ${JSON.stringify(each)}\n\n`);
      const headers = { "content-type": "text/event-stream" };
      return new Response([...events, "data: [DONE]\n\n"].join(""), { headers });
    });
  }

  async token(changes: { kid?: string } = {}): Promise<string> {
    const { privateKey } = await this.keys;
    const nowS = Math.floor(this.world.nowMs / 1000);
    const claims = {
      iss: `${PROJECT}/auth/v1`,
      sub: USER_ID,
      aud: "authenticated",
      role: "authenticated",
      iat: nowS,
      exp: nowS + 3600,
    };
    const head = `${part({ alg: "ES256", kid: changes.kid ?? "es-1" })}.${part(claims)}`;
    const signed = await crypto.subtle.sign(ES256, privateKey, new TextEncoder().encode(head));
    return `${head}.${encoded(new Uint8Array(signed))}`;
  }

  async request(body: JsonObject = {}, headers: Record<string, string> = {}): Promise<Request> {
    const credentials = "x-api-key" in headers ? {} : { authorization: `Bearer ${await this.token()}` };
    const messages = [{ role: "user", content: "hello" }];
    return new Request("http://localhost/agent-runtime", {
      method: "POST",
      headers: { "content-type": "application/json", ...credentials, ...headers },
      body: JSON.stringify({ agentId: AGENT_ID, messages, ...body }),
    });
  }

  named(): string[] {
    return this.calls.map(({ name }) => name.replace("switchyard_", ""));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.world[Symbol.asyncDispose]();
  }

  private async answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === JWKS_PATH) return await this.published();
    const name = pathname.replace("/rest/v1/rpc/", "");
    const args = await request.json() as JsonObject;
    this.calls.push({ name, args, headers: request.headers });
    const answer = this.answers[name]?.(args) ?? null;
    return answer instanceof Response ? answer : json(answer);
  }

  private async published(): Promise<Response> {
    this.keyFetches += 1;
    if (this.keysAreAway) return new Response("away", { status: 503 });
    const jwk = await crypto.subtle.exportKey("jwk", (await this.keys).publicKey);
    const { kty, crv, x, y } = jwk as Record<string, string>;
    const keys = [{ kty, crv, x, y, kid: "es-1", alg: "ES256", use: "sig" } as JsonObject];
    return json({ keys }, { headers: { "cache-control": `public, max-age=${this.maxAgeS}` } });
  }
}

async function newKeys(): Promise<CryptoKeyPair> {
  return await crypto.subtle.generateKey(ES256, true, ["sign", "verify"]) as CryptoKeyPair;
}

function part(document: unknown): string {
  return encoded(new TextEncoder().encode(JSON.stringify(document)));
}

function encoded(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
