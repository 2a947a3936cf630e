import { ChatError } from "./errors.js";
import type { components, operations } from "./generated/rest.js";
import { request } from "./http.js";
import { randomId } from "./random_id.js";
import { backoff, sleep } from "./timing.js";

type Schemas = components["schemas"];
export type ChatInfo = Schemas["Chat"];
export type ChatPage = Schemas["ChatPage"];
export type Message = Schemas["Message"];
export type MessagePage = Schemas["MessagePage"];
export type NewChat = Schemas["NewChat"];
export type ChatChange = Schemas["ChatChange"];
export type Ticket = Schemas["Ticket"];
export type UsageReport = Schemas["UsageReport"];
type Query<Name extends keyof operations> = NonNullable<operations[Name]["parameters"]["query"]>;

/** How a call may be bounded. */
export interface CallOptions {
  /** Aborts the call. */
  signal?: AbortSignal;
}

export interface RestOptions {
  /** The address of the API, such as `http://localhost:8000`. */
  url: string;
  /** The tenant's API key. Keep it on servers: it opens all chats of the tenant. */
  key: string;
  /** How often a call is repeated that failed for a reason that passes. Default: 3. */
  retries?: number;
  /** The longest wait for one response, in milliseconds. Default: 30,000. */
  timeoutMs?: number;
  /** Instead of the global `fetch`. */
  fetch?: typeof fetch;
}

/** The longest pause before a call is repeated, in milliseconds. Who waits for a ticket has 15 seconds. */
const LONGEST_PAUSE = 10_000;

interface Call extends CallOptions {
  body?: unknown;
  query?: Record<string, unknown> | undefined;
  headers?: Record<string, string>;
}

/**
 * The REST API, for servers. Every call may be repeated safely, so it is, after `Retry-After` or a growing pause of up to
 * ten seconds, when the server is not reached, limits the rate, or fails.
 *
 * Calls throw {@link ChatError}.
 */
export class ChatApi {
  readonly #options: Required<Omit<RestOptions, "fetch">> & Pick<RestOptions, "fetch">;

  constructor(options: RestOptions) {
    this.#options = { retries: 3, timeoutMs: 30_000, ...options, url: options.url.replace(/\/+$/, "") };
  }

  /** Creates a chat. A repeated call creates no second one, also with an `idempotencyKey` of your own within 24 hours. */
  createChat(chat: NewChat, options: CallOptions & { idempotencyKey?: string } = {}): Promise<ChatInfo> {
    const { idempotencyKey = randomId(), ...call } = options;
    return this.#call("POST", "/chats/", { ...call, body: chat, headers: { "Idempotency-Key": idempotencyKey } });
  }

  /** Lists the chats of a user, most recently active first. */
  listUserChats(userId: string, query?: Query<"listUserChats">, options?: CallOptions): Promise<ChatPage> {
    return this.#call("GET", `/chats/user/${encodeURIComponent(userId)}`, { ...options, query });
  }

  getChat(chatId: string, options?: CallOptions): Promise<ChatInfo> {
    return this.#call("GET", chatPath(chatId), { ...options });
  }

  /** Changes the given fields; `null` clears one. */
  updateChat(chatId: string, change: ChatChange, options?: CallOptions): Promise<ChatInfo> {
    return this.#call("PATCH", chatPath(chatId), { ...options, body: change });
  }

  /** Deletes a chat. Of a repeated call, a chat that is gone is deleted too. */
  async deleteChat(chatId: string, options?: CallOptions): Promise<void> {
    await this.#call("DELETE", chatPath(chatId), { ...options });
  }

  /** Lists the messages of a chat, oldest first. */
  listMessages(chatId: string, query?: Query<"listMessages">, options?: CallOptions): Promise<MessagePage> {
    return this.#call("GET", `${chatPath(chatId)}/messages`, { ...options, query });
  }

  /** Creates a ticket: it opens one connection to the chat within 60 seconds, without the key. */
  createTicket(chatId: string, options?: CallOptions): Promise<Ticket> {
    return this.#call("POST", `${chatPath(chatId)}/tickets`, { ...options });
  }

  /** What the tenant has used. */
  getUsage(query?: Query<"getUsage">, options?: CallOptions): Promise<UsageReport> {
    return this.#call("GET", "/usage", { ...options, query });
  }

  async #call<T>(method: string, path: string, call: Call): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#attempt<T>(method, path, call);
      } catch (error) {
        if (!(error instanceof ChatError)) throw error;
        // An earlier attempt has deleted it, and its response was lost.
        if (method === "DELETE" && attempt > 1 && error.status === 404) return undefined as T;
        const pause = error.retryAfterMs ?? backoff(attempt);
        if (!error.retryable || attempt > this.#options.retries || pause > LONGEST_PAUSE) throw error;
        await sleep(pause, call.signal);
      }
    }
  }

  async #attempt<T>(method: string, path: string, call: Call): Promise<T> {
    const { url, key } = this.#options;
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) query.set(name, String(value));
    }
    const headers: Record<string, string> = { "X-API-Key": key, ...call.headers };
    if (call.body !== undefined) headers["Content-Type"] = "application/json";
    const body = call.body === undefined ? null : JSON.stringify(call.body);
    const init = { method, headers, body, ...(call.signal && { signal: call.signal }) };
    return (await request(`${url}/api/v1${path}${query.size > 0 ? `?${query}` : ""}`, init, this.#options)) as T;
  }
}

function chatPath(chatId: string): string {
  if (!chatId)
    throw new ChatError("INVALID_PARAMETER", "The id of the chat is empty.", "Pass the `chat_id` of a chat.");
  return `/chats/${encodeURIComponent(chatId)}`;
}
