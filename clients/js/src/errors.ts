import type { components as Events } from "./generated/events.js";
import type { components as Rest } from "./generated/rest.js";

/** The codes of the server. */
export type ServerCode = Events["schemas"]["Code"] | Rest["schemas"]["Code"];

/**
 * The codes of this client.
 *
 * - `CONNECTION_FAILED`: no connection within the time; the address may be wrong, or the handshake refused.
 * - `TICKET_FAILED`: the function that fetches a ticket failed.
 * - `NO_RESPONSE`: the server did not respond in time.
 * - `BAD_RESPONSE`: what came is not of this API.
 * - `CLOSED`: the app closed the chat.
 */
export type ClientCode = "CONNECTION_FAILED" | "TICKET_FAILED" | "NO_RESPONSE" | "BAD_RESPONSE" | "CLOSED";

/** What a server says about an error beside its code and message. */
export type ErrorDetails = Partial<Events["schemas"]["ErrorDetails"]> & { [name: string]: unknown };

/** The part of an error that the server sends. */
interface ServerError {
  code: string;
  message: string;
  details?: ErrorDetails;
}

/** What an error may have beside its code and texts. */
interface ErrorFields {
  retryable?: boolean;
  details?: ErrorDetails;
  status?: number | undefined;
  requestId?: string | undefined;
  cause?: unknown;
}

/** An error, with what to do about it. */
export class ChatError extends Error {
  override readonly name = "ChatError";
  /** Programs match on it. New codes may be added. */
  declare readonly code: ServerCode | ClientCode;
  /** Whether the same call may succeed later. */
  declare readonly retryable: boolean;
  /** What to do. */
  declare readonly suggestion: string;
  declare readonly details: ErrorDetails;
  /** The HTTP status, of a response. */
  declare readonly status?: number;
  /** The id to quote when you report the error to the operator. */
  declare readonly requestId?: string;

  constructor(code: ServerCode | ClientCode, message: string, suggestion: string, more: ErrorFields = {}) {
    super(message);
    Object.assign(this, { code, suggestion, retryable: false, details: {} }, more);
  }

  /** How long to wait before a retry, in milliseconds, if the server says. */
  get retryAfterMs(): number | undefined {
    const seconds = this.details.retry_after_seconds;
    return seconds === undefined ? undefined : seconds * 1000;
  }
}

/** The error of a response or an event. */
export function serverError(
  { code, message, details = {} }: ServerError,
  retryable: boolean,
  more: { status?: number; requestId?: string | undefined },
): ChatError {
  return new ChatError(code as ServerCode, message, details.suggestion ?? "", { ...more, retryable, details });
}
