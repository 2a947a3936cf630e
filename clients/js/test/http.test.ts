// What a response over HTTP means.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ChatError } from "../src/index.js";
import { request } from "../src/http.js";

const call = (response: Response | Error, url = "http://localhost/") =>
  request(
    url,
    {},
    { timeoutMs: 1000, fetch: async () => (response instanceof Error ? Promise.reject(response) : response) },
  );

function refusal(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, { status, headers });
}

test("a response is its JSON, or nothing", async () => {
  assert.deepEqual(await call(new Response('{"a":1}')), { a: 1 });
  assert.equal(await call(new Response(null, { status: 204 })), undefined);
  await assert.rejects(call(new Response("<html>")), { code: "BAD_RESPONSE", retryable: false });
});

test("an error of the API keeps its code and details", async () => {
  const body = '{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"Too many.","details":{"suggestion":"Wait."}}}';
  await assert.rejects(call(refusal(429, body, { "Retry-After": "7", "X-Request-Id": "r" })), {
    code: "RATE_LIMIT_EXCEEDED",
    message: "Too many.",
    suggestion: "Wait.",
    retryable: true,
    status: 429,
    requestId: "r",
    retryAfterMs: 7000,
  });
});

test("Retry-After may be a date, and one without use is ignored", async () => {
  const retryAfter = async (value: string) => {
    const error = (await call(refusal(503, "", { "Retry-After": value })).catch((error) => error)) as ChatError;
    assert.equal(error.code, "UNAVAILABLE");
    return error.retryAfterMs;
  };
  const date = new Date(Date.now() + 60_000).toUTCString();
  assert.ok(Math.abs((await retryAfter(date))! - 60_000) < 5000);
  for (const value of ["0", "soon", new Date(0).toUTCString()]) assert.equal(await retryAfter(value), undefined, value);
});

test("a network that fails may be tried again, a malformed address not", async () => {
  await assert.rejects(call(new TypeError("fetch failed")), { code: "CONNECTION_FAILED", retryable: true });
  await assert.rejects(call(new Response(), "/tickets"), { code: "CONNECTION_FAILED", retryable: false });
});

test("a response that does not come in time is given up", async () => {
  const never: typeof fetch = (_, init) =>
    new Promise((_, reject) => {
      // A real request keeps the process alive.
      const alive = setInterval(() => {}, 1000);
      init!.signal!.addEventListener("abort", () => (clearInterval(alive), reject(init!.signal!.reason)));
    });
  const code = "NO_RESPONSE";
  await assert.rejects(request("http://localhost/", {}, { timeoutMs: 20, fetch: never }), { code, retryable: true });
});
