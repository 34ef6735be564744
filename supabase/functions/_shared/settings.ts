// What the operator has set, read once; a wrong value is named, with what it wants.
//
// The names and their meaning are the backend's (`docs/settings.md`). The platform sets `SUPABASE_URL` and its
// keys itself, and lets nobody else set a name that begins with SUPABASE_.

import { HeavyError } from "./errors.ts";

export type CreditsOwner = "backend" | "caller" | "off";
type Env = (name: string) => string | undefined;

export interface Settings {
  supabaseUrl: string;
  secretKey: string;
  jwtSecret: string | null;
  issuer: string;
  allowAnonymous: boolean;
  allowOauthClients: boolean;
  backendUrl: string | null;
  backendSecret: string | null;
  allowedBackends: readonly string[];
  allowedOrigins: readonly string[];
  creditsOwner: CreditsOwner;
  modelUrl: string;
  modelKey: string | null;
  defaultModel: string;
}

const OWNERS: readonly CreditsOwner[] = ["backend", "caller", "off"];
const OPENAI_URL = "https://api.openai.com/v1";
const LOVABLE_GATEWAY = "https://ai.gateway.lovable.dev/v1";
const DEFAULT_MODEL = "google/gemini-2.5-flash";
const SECRET_CHARS = 32;
// Whoever listens on the way would have the user's token; on one machine nobody is on the way.
const HOSTS_NEARBY = new Set(["localhost", "127.0.0.1", "[::1]", "host.docker.internal"]);

/** Throws `not_configured`, which names the variable. */
export function readSettings(env: Env): Settings {
  const of = (...names: string[]) =>
    names.map((name) => (env(name) ?? "").trim()).find((each) => each !== "") ?? null;
  const supabaseUrl = addressOf("SUPABASE_URL", of("SUPABASE_URL"));
  if (supabaseUrl === null) throw wrong("SUPABASE_URL", "is not set; wants the project's address");
  const backendUrl = addressOf("RAILWAY_BACKEND_URL", of("RAILWAY_BACKEND_URL"));
  if (backendUrl !== null) checkPrivate(backendUrl);
  const usesGateway = of("OPENAI_API_KEY") === null && of("LOVABLE_API_KEY") !== null;
  return {
    supabaseUrl,
    secretKey: secretKeyOf(of),
    jwtSecret: secretOf("SUPABASE_JWT_SECRET", of("SUPABASE_JWT_SECRET", "JWT_SECRET_KEY")),
    issuer: of("JWT_ISSUER") ?? `${supabaseUrl}/auth/v1`,
    allowAnonymous: isOn(of("ALLOW_ANONYMOUS")),
    allowOauthClients: isOn(of("ALLOW_OAUTH_CLIENTS")),
    backendUrl,
    backendSecret: secretOf("RAILWAY_BACKEND_SECRET", of("RAILWAY_BACKEND_SECRET")),
    allowedBackends: namesIn(of("ALLOWED_BACKENDS")),
    allowedOrigins: namesIn(of("ALLOWED_ORIGINS", "CORS_ORIGINS")),
    creditsOwner: ownerOf(of("CREDITS_OWNER")),
    modelUrl: addressOf("OPENAI_BASE_URL", of("OPENAI_BASE_URL")) ??
      (usesGateway ? LOVABLE_GATEWAY : OPENAI_URL),
    modelKey: of("OPENAI_API_KEY", "LOVABLE_API_KEY"),
    defaultModel: of("DEFAULT_MODEL") ?? DEFAULT_MODEL,
  };
}

/** The old name, the new one, or what the platform sets: named keys as JSON, of which `default` comes first. */
function secretKeyOf(of: (...names: string[]) => string | null): string {
  const named = of("SUPABASE_SECRET_KEYS");
  const key = of("SUPABASE_SECRET_KEY") ?? firstKeyIn(named) ?? of("SUPABASE_SERVICE_ROLE_KEY");
  if (key === null) throw wrong("SUPABASE_SECRET_KEY", "is not set; wants a secret key of the project");
  return key;
}

function firstKeyIn(named: string | null): string | null {
  if (named === null) return null;
  try {
    const keys = JSON.parse(named);
    const key = keys.default ?? Object.values(keys)[0];
    return typeof key === "string" && key !== "" ? key : null;
  } catch {
    throw wrong("SUPABASE_SECRET_KEYS", "wants a JSON object of keys by their names");
  }
}

function addressOf(name: string, value: string | null): string | null {
  if (value === null) return null;
  const url = URL.canParse(value) ? new URL(value) : null;
  if (
    url === null || !["http:", "https:"].includes(url.protocol) || url.username !== "" || url.search !== ""
  ) {
    throw wrong(name, "wants an address, https://host");
  }
  return value.replace(/\/+$/, "");
}

function checkPrivate(backendUrl: string): void {
  const { protocol, hostname, pathname } = new URL(backendUrl);
  if (protocol !== "https:" && !HOSTS_NEARBY.has(hostname)) {
    throw wrong("RAILWAY_BACKEND_URL", "wants https://, because users' tokens are sent there");
  }
  if (pathname !== "/") throw wrong("RAILWAY_BACKEND_URL", "wants an origin, without a path");
}

function secretOf(name: string, value: string | null): string | null {
  if (value !== null && value.length < SECRET_CHARS) {
    throw wrong(name, `wants a secret of at least ${SECRET_CHARS} characters`);
  }
  return value;
}

function ownerOf(value: string | null): CreditsOwner {
  const owner = OWNERS.find((each) => each === (value ?? "backend").toLowerCase());
  if (owner === undefined) throw wrong("CREDITS_OWNER", "wants backend, caller or off");
  return owner;
}

function namesIn(value: string | null): string[] {
  return (value ?? "").split(",").map((each) => each.trim()).filter((each) => each !== "");
}

function isOn(value: string | null): boolean {
  return ["1", "true", "yes", "on"].includes((value ?? "").toLowerCase());
}

function wrong(name: string, wants: string): HeavyError {
  return new HeavyError("not_configured", `${name} ${wants}`);
}
