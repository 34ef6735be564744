// A world for the core's own tests: real servers on loopback behind names of the world, and a clock that is moved.

import type { Json, JsonObject } from "../../../supabase/functions/_shared/errors.ts";
import type { World } from "../../../supabase/functions/_shared/world.ts";

export type Handler = (request: Request) => Response | Promise<Response>;

export interface Asked {
  url: string;
  headers: Headers;
  body: string;
}

/** What stands at an origin, and what it was asked. */
export class Site {
  readonly asked: Asked[] = [];

  constructor(public handler: Handler, readonly address: string, readonly stop: () => Promise<void>) {}
}

export class TestWorld implements World {
  readonly sites = new Map<string, Site>();
  readonly logged: string[] = [];
  readonly works: Promise<unknown>[] = [];
  readonly variables = new Map<string, string>();
  readonly addresses = new Map<string, string[]>();
  nowMs = Date.now();
  monotonicMs = 1_000_000;

  readonly clock = { nowMs: (): number => this.nowMs, monotonicMs: (): number => this.monotonicMs };

  /** A real server that is found at `origin`, a name of the world. */
  at(origin: string, handler: Handler): Site {
    const site: { it?: Site } = {};
    const server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => undefined },
      async (request) => {
        const body = await request.clone().text();
        site.it!.asked.push({ url: request.url, headers: request.headers, body });
        return await site.it!.handler(request);
      },
    );
    const address = `http://127.0.0.1:${server.addr.port}`;
    site.it = new Site(handler, address, () => server.shutdown());
    this.sites.set(origin, site.it);
    return site.it;
  }

  /** As the platform's, but for where an origin is found. */
  readonly fetch: typeof fetch = (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const site = this.sites.get(url.origin);
    if (site === undefined) return Promise.reject(new TypeError(`nobody is at ${url.origin}`));
    return fetch(`${site.address}${url.pathname}${url.search}`, init);
  };

  env(name: string): string | undefined {
    return this.variables.get(name);
  }

  resolve(host: string): Promise<string[]> {
    return Promise.resolve(this.addresses.get(host) ?? []);
  }

  background(work: Promise<unknown>): void {
    this.works.push(work);
  }

  log(event: string, facts: JsonObject): void {
    this.logged.push(JSON.stringify({ event, ...facts }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.works);
    await Promise.all([...this.sites.values()].map((site) => site.stop()));
  }
}

export function json(document: Json, init?: ResponseInit): Response {
  return Response.json(document, init);
}
