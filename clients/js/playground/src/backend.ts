// The routes that the local stack has for this page, as the backend of an app would: they know the key and the user.
import { ChatError, type ErrorDetails, type ServerCode } from "../../src/index.js";
import type { ChatChange, ChatInfo, ChatPage, MessagePage, Ticket } from "../../src/server.js";
import { network } from "./network.js";

const ROUTES = "/playground/api/chats";

/** How many REST requests the tenant has left in this minute. */
export const rateLimit = { remaining: "", limit: "" };

async function call(method: string, path = "", body?: unknown): Promise<unknown> {
  if (!network.isOn)
    throw new ChatError("CONNECTION_FAILED", "The network is off.", "Switch it on.", { retryable: true });
  const init: RequestInit = { method };
  if (body !== undefined)
    Object.assign(init, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  const response = await fetch(ROUTES + path, init).catch((cause: unknown) => {
    const fields = { retryable: true, cause };
    throw new ChatError("CONNECTION_FAILED", "The local stack does not respond.", "Start `cargo chat dev`.", fields);
  });
  // Tickets have a limit of their own.
  if (!path.endsWith("/tickets")) {
    rateLimit.remaining = response.headers.get("X-RateLimit-Remaining") ?? rateLimit.remaining;
    rateLimit.limit = response.headers.get("X-RateLimit-Limit") ?? rateLimit.limit;
  }
  if (response.status === 204) return undefined;
  const parsed = await response.json().catch(() => ({}));
  if (response.ok) return parsed;
  const { code, message, details } = (
    parsed as { error?: { code: ServerCode; message: string; details: ErrorDetails } }
  ).error ?? {
    code: "UNAVAILABLE" as const,
    message: `The local stack responded with ${response.status}.`,
    details: {},
  };
  const retryable = response.status === 429 || response.status >= 500;
  throw new ChatError(code, message, details.suggestion ?? "Try again.", {
    retryable,
    details,
    status: response.status,
  });
}

export const backend = {
  listChats: () => call("GET", "?limit=100") as Promise<ChatPage>,
  /** The agent echo has no pace of its own: 20 tokens a second are those of a model. */
  async createChat(): Promise<ChatInfo> {
    const chat = (await call("POST", "", {})) as ChatInfo;
    return chat.config.agent === "echo" ? backend.changeChat(chat.chat_id, { config: { model: "echo@20" } }) : chat;
  },
  changeChat: (id: string, change: ChatChange) => call("PATCH", `/${id}`, change) as Promise<ChatInfo>,
  deleteChat: (id: string) => call("DELETE", `/${id}`) as Promise<void>,
  /** A page of messages, newest first. */
  listMessages: (id: string, offset: number) =>
    call("GET", `/${id}/messages?order=desc&limit=50&offset=${offset}`) as Promise<MessagePage>,
  createTicket: (id: string) => call("POST", `/${id}/tickets`) as Promise<Ticket>,
};
