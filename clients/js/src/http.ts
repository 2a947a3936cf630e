import { ChatError, serverError } from "./errors.js";

interface RequestOptions {
  /** The longest wait for the response, in milliseconds. */
  timeoutMs: number;
  fetch?: typeof fetch | undefined;
}

interface ErrorBody {
  error?: { code: string; message: string };
}

/** Sends one request, and returns the JSON of its response. Throws {@link ChatError}, or the reason of its own signal. */
export async function request(url: string, init: RequestInit, options: RequestOptions): Promise<unknown> {
  const { timeoutMs, fetch: send = fetch } = options;
  if (!URL.canParse(url, globalThis.location?.href)) {
    throw new ChatError("CONNECTION_FAILED", `${url} is no address.`, "It starts with http:// or https://.");
  }
  const timeout = AbortSignal.timeout(timeoutMs);
  let response: Response;
  let text: string;
  try {
    response = await send(url, { ...init, signal: init.signal ? AbortSignal.any([init.signal, timeout]) : timeout });
    text = await response.text();
  } catch (cause) {
    init.signal?.throwIfAborted();
    const fields = { retryable: true, cause };
    if (!timeout.aborted) {
      const suggestion = "Check address and network.";
      throw new ChatError("CONNECTION_FAILED", `${url} cannot be reached.`, suggestion, fields);
    }
    throw new ChatError("NO_RESPONSE", `No response within ${timeoutMs / 1000} seconds.`, "Try again later.", fields);
  }
  const body = parse(text);
  if (response.ok && (body !== undefined || text === "")) return body;
  throw responseError(body as ErrorBody | undefined, response);
}

/** The JSON value; undefined if there is none. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function responseError(body: ErrorBody | undefined, { status, headers }: Response): ChatError {
  const retryable = status === 429 || status >= 500;
  const fields = { status, requestId: headers.get("X-Request-Id") ?? undefined };
  const error = body?.error?.code ? serverError(body.error, retryable, fields) : foreignError(retryable, fields);
  const retryAfter = headers.get("Retry-After") ?? "";
  // RFC 9110, section 10.2.3: seconds, or a date.
  const seconds = Number(retryAfter) || (Date.parse(retryAfter) - Date.now()) / 1000;
  if (seconds > 0) error.details.retry_after_seconds ??= seconds;
  return error;
}

/** The error of API Gateway itself, of a route of the app, or of something else at this address. */
function foreignError(retryable: boolean, fields: { status: number; requestId: string | undefined }): ChatError {
  const message = `The server responded with ${fields.status}.`;
  return retryable
    ? new ChatError("UNAVAILABLE", message, "Try again later.", { ...fields, retryable })
    : new ChatError("BAD_RESPONSE", message, "Check the address.", fields);
}
