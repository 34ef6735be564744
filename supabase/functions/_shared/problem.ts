// The problem document: what an error looks like on the wire (`routing/document.py`). Source: RFC 9457.

import type { HeavyError } from "./errors.ts";

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  413: "Request Entity Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Entity",
  429: "Too Many Requests",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
};

/** The answer that says `error`; `error` and `message` repeat title and detail for older clients. */
export function problem(error: HeavyError, requestId: string): Response {
  const title = TITLES[error.status] ?? "Error";
  const document = {
    ...error.facts,
    type: `urn:switchyard:error:${error.code}`,
    title,
    status: error.status,
    detail: error.detail,
    code: error.code,
    requestId,
    error: title,
    message: error.detail,
  };
  const headers = { ...error.headers, "Content-Type": "application/problem+json" };
  return new Response(JSON.stringify(document), { status: error.status, headers });
}
