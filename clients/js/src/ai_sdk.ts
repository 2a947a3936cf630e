import type { ChatTransport, UIMessage, UIMessageChunk } from "ai";
import type { Answer } from "./answer.js";
import { type Chat, type ChatOptions, connect } from "./chat.js";
import type { Source } from "./connection.js";
import { ChatError } from "./errors.js";
import type { StreamStarted } from "./events.js";

export interface TransportOptions extends ChatOptions {
  /** Where the tickets of a chat come from, such as `(id) => "/api/chats/" + id + "/tickets"`. */
  tickets: (chatId: string) => Source;
}

/**
 * A transport for `useChat` of Vercel's AI SDK: answers stream over the WebSocket, survive lost connections and reloads of
 * the page, and end for all tabs when `stop` is called.
 *
 * The `id` of `useChat` is the id of the chat. `resume: true` continues an answer that streams when the page loads.
 */
export class ChatApiTransport<UI_MESSAGE extends UIMessage = UIMessage> implements ChatTransport<UI_MESSAGE> {
  /** A stream that is resumed starts at the beginning of its answer. */
  readonly resumeStreamIsReplay = true;

  readonly #options: TransportOptions;
  readonly #chats = new Map<string, Chat>();
  /** The last answer of each chat, as far as it was seen. */
  readonly #lastAnswers = new Map<string, string>();
  /** How often the stream of a chat was asked for. */
  readonly #reconnects = new Map<string, number>();

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** The connection to a chat, which opens with its first use. It has events that `useChat` does not show. */
  chat(chatId: string): Chat {
    const known = this.#chats.get(chatId);
    if (known && known.state !== "closed") return known;
    const { tickets, ...options } = this.#options;
    const chat = connect(tickets(chatId), options);
    chat.on("event", (event) => {
      if (event.type !== "message_stream_started") return;
      this.#lastAnswers.set(chatId, (event as StreamStarted).message_id);
    });
    chat.on("answer", ({ replaces, ended }) => {
      // The old answer stays if the new one does not end well.
      const restore = () => replaces && this.#lastAnswers.set(chatId, replaces);
      ended.then(({ finishReason }) => finishReason === "cancelled" && restore(), restore);
    });
    this.#chats.set(chatId, chat);
    return chat;
  }

  /** Closes the connection to a chat that is not shown any more, or all. */
  close(chatId?: string): void {
    for (const [id, chat] of this.#chats) {
      if (chatId !== undefined && chatId !== id) continue;
      chat.close();
      this.#chats.delete(id);
    }
  }

  async sendMessages({
    trigger,
    chatId,
    messageId,
    messages,
    abortSignal,
  }: Parameters<ChatTransport<UI_MESSAGE>["sendMessages"]>[0]): Promise<ReadableStream<UIMessageChunk>> {
    const options = abortSignal ? { signal: abortSignal } : {};
    const chat = this.chat(chatId);
    // A stream that `useChat` resumes is known then. If it came later, its status would replace that of this message.
    await opened(chat);
    if (trigger === "regenerate-message") {
      // The server ends a stopped answer within a second. Until then it is unknown which one is the last.
      await Promise.allSettled(chat.answers.filter((answer) => answer.isCancelled).map((answer) => answer.ended));
      const id = messageId ?? this.#lastAnswers.get(chatId);
      if (id !== undefined) return stream(chat.regenerate(id, options));
      const suggestion = "Call regenerate({ messageId }).";
      throw new ChatError("MISSING_PARAMETER", "The answer to regenerate is unknown.", suggestion);
    }
    if (messageId !== undefined) {
      throw new ChatError("INVALID_PARAMETER", "A message cannot be changed once it was sent.", "Send a new one.");
    }
    const message = messages.at(-1);
    if (!message) throw new ChatError("MISSING_PARAMETER", "There is no message.", "Send one.");
    // Sent again by the app, it is answered once.
    return stream(chat.send(textOf(message), { ...options, clientMessageId: message.id.slice(-64) }));
  }

  async reconnectToStream({
    chatId,
    abortSignal,
  }: Parameters<ChatTransport<UI_MESSAGE>["reconnectToStream"]>[0]): Promise<ReadableStream<UIMessageChunk> | null> {
    const chat = this.chat(chatId);
    const reconnect = (this.#reconnects.get(chatId) ?? 0) + 1;
    this.#reconnects.set(chatId, reconnect);
    await opened(chat);
    const answer = chat.answers.at(-1);
    if (!answer) return null;
    // `useChat` also aborts a stream that another one takes the place of: only the last one is stopped by its user.
    const stop = () => setTimeout(() => this.#reconnects.get(chatId) === reconnect && answer.cancel());
    if (abortSignal?.aborted) stop();
    abortSignal?.addEventListener("abort", stop, { once: true });
    return stream(answer);
  }
}

/** Waits until a chat has learnt from the server which answers stream. */
function opened(chat: Chat): Promise<void> {
  return new Promise((resolve, reject) => {
    if (chat.state === "open") return resolve();
    const stop = chat.on("state", ({ state, error }) => {
      if (state !== "open" && state !== "closed") return;
      stop();
      // The answers of `connection_established` are known after this event.
      if (state === "open") setTimeout(resolve);
      else reject(error ?? new ChatError("CLOSED", "The chat is closed.", "Connect again."));
    });
  });
}

/** An answer as the AI SDK reads it. */
function stream(answer: Answer): ReadableStream<UIMessageChunk> {
  let isRead = true;
  return new ReadableStream({
    async start(controller) {
      const write = (chunk: UIMessageChunk) => isRead && controller.enqueue(chunk);
      try {
        let id: string | undefined;
        for await (const delta of answer) {
          if (id === undefined) {
            id = answer.messageId!;
            write({ type: "start", messageId: id });
            write({ type: "text-start", id });
          }
          write({ type: "text-delta", id, delta });
        }
        const { finishReason, usage, timing } = await answer.ended;
        if (id !== undefined) write({ type: "text-end", id });
        if (finishReason === "cancelled") write({ type: "abort" });
        else write({ type: "finish", finishReason, messageMetadata: { usage, timing } });
      } catch (error) {
        write({ type: "error", errorText: error instanceof Error ? error.message : String(error) });
      }
      if (isRead) controller.close();
    },
    cancel() {
      isRead = false;
    },
  });
}

/** The text of a message. The API stores no files. */
function textOf(message: UIMessage): string {
  return message.parts.map((part) => (part.type === "text" ? part.text : "")).join("");
}
