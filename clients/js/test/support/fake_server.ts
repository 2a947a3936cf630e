import { mock } from "node:test";
import { type Chat, type ChatOptions, connect, type Frame, type Source, type WebSocketLike } from "../../src/index.js";

/** A socket as a test sees it: what the client sent, and what the server sends. */
export class FakeSocket implements WebSocketLike {
  readonly frames: Frame[] = [];
  isClosed = false;
  readonly #listeners: Record<string, ((event: object) => void)[]> = {};

  constructor(readonly url: string) {}

  addEventListener(type: string, listener: (event: object) => void): void {
    (this.#listeners[type] ??= []).push(listener);
  }

  send(text: string): void {
    this.frames.push(JSON.parse(text));
  }

  /** Closes it, from either side. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#emit("close", {});
  }

  /** Sends an event to the client. */
  event(event: { type: string; [field: string]: unknown }): void {
    const data = JSON.stringify({ chat_id: "chat_1", timestamp: new Date().toISOString(), ...event });
    this.#emit("message", { data });
  }

  raw(data: string): void {
    this.#emit("message", { data });
  }

  establish(streams: object[] = [], lifetimeMs = 2 * 60 * 60 * 1000): void {
    const expires_at = new Date(Date.now() + lifetimeMs).toISOString();
    this.event({
      type: "connection_established",
      connection_id: "c",
      user_id: "u",
      expires_at,
      active_streams: streams,
    });
  }

  error(code: string, details: object = {}, more: object = {}): void {
    const error = { code, message: "It failed.", details: { suggestion: "Wait.", retryable: true, ...details } };
    this.event({ type: "error", error, request_id: "r", ...more });
  }

  received(clientMessageId: string, messageId: string, seq: number, more: object = {}): void {
    const event = {
      type: "message_received",
      message_id: messageId,
      seq,
      content: "?",
      client_message_id: clientMessageId,
    };
    this.event({ ...event, ...more });
  }

  started(messageId: string, seq: number, inReplyTo: string, more: object = {}): void {
    this.event({
      type: "message_stream_started",
      message_id: messageId,
      seq,
      in_reply_to: inReplyTo,
      model: "m",
      ...more,
    });
  }

  token(messageId: string, offset: number, token: string): void {
    const next_offset = offset + Buffer.byteLength(token);
    this.event({ type: "message_stream_token", message_id: messageId, offset, next_offset, token });
  }

  ended(messageId: string, content: string | undefined, finish_reason = "stop"): void {
    const rest = { usage: { input_tokens: 1, output_tokens: 1 }, timing: { first_token_ms: 1, total_ms: 2 } };
    const whole = content === undefined ? { content_omitted: true } : { content };
    this.event({ type: "message_stream_ended", message_id: messageId, finish_reason, ...whole, ...rest });
  }

  /** The types of the frames, with the ids that they name. */
  get sent(): string[] {
    return this.frames.map((frame) => {
      if (frame.type === "resume") return `resume ${frame.message_id} ${frame.offset}`;
      if (frame.type === "message") return `message ${frame.content}`;
      return frame.type === "ping" ? "ping" : `${frame.type} ${frame.message_id}`;
    });
  }

  #emit(type: string, event: object): void {
    for (const listener of this.#listeners[type] ?? []) listener(event);
  }
}

/** A chat with sockets that a test answers, on paused time. */
export class FakeServer {
  readonly sockets: FakeSocket[] = [];
  readonly chat: Chat;

  constructor(options: ChatOptions = {}, source: Source = async () => "ws://fake") {
    mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: Date.UTC(2026, 0, 1) });
    const sockets = this.sockets;
    const WebSocket = class extends FakeSocket {
      constructor(url: string) {
        super(url);
        sockets.push(this);
      }
    };
    this.chat = connect(source, { WebSocket, ...options });
  }

  /** The socket that the client opened last. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("the client has opened no socket");
    return socket;
  }

  /** Waits until the client has opened a socket number `count`, and establishes it. */
  async open(count = 1, streams: object[] = []): Promise<FakeSocket> {
    for (let waited = 0; this.sockets.length < count; waited += 1) {
      if (waited > 60) throw new Error(`the client opened ${this.sockets.length} sockets, not ${count}`);
      await this.elapse(1000);
    }
    this.socket.establish(streams);
    await flush();
    return this.socket;
  }

  /** Lets this time pass, as the ticks of the client see it. */
  async elapse(ms: number): Promise<void> {
    for (let rest = ms; rest > 0; rest -= 500) {
      mock.timers.tick(Math.min(rest, 500));
      await flush();
    }
  }

  end(): void {
    this.chat.close();
    mock.timers.reset();
  }
}

/** Runs what waits for promises. */
export function flush(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
