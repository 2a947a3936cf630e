import { ChatError } from "./errors.js";
import type { ConnectionEstablished, Frame, ServerEvent, UnknownEvent } from "./events.js";
import { request } from "./http.js";
import { Socket, type WebSocketConstructor } from "./socket.js";
import { type AwakeClock, backoff, SECOND, sleep, within } from "./timing.js";

/**
 * Where tickets come from:
 *
 * - the address of a route of the app's backend, which responds to `POST` as `POST /api/v1/chats/{chat_id}/tickets` does;
 * - a function that returns that response, or its `url`;
 * - the key itself, on a server.
 */
export type Source = string | (() => Promise<TicketLike>) | KeySource;

/** Connects with the API key. For servers: a browser shows the key to its user. */
export interface KeySource {
  /** The address of the WebSocket, such as `ws://localhost:8000/ws/chat`. */
  url: string;
  key: string;
  userId: string;
  chatId: string;
}

type TicketLike = string | { url: string };

export interface ConnectionOptions {
  /** Instead of the global `WebSocket`: Node before 22 has none, so pass that of the package `ws`. */
  WebSocket?: WebSocketConstructor;
  /** The longest wait for a ticket, and for one connection, in milliseconds. Default: 15,000. */
  connectTimeoutMs?: number;
  /** How long to try to connect before the chat fails, in milliseconds. Default: 120,000. */
  giveUpAfterMs?: number;
}

/**
 * - `connecting`: the first connection is being opened.
 * - `open`: messages are sent.
 * - `reconnecting`: the connection was lost. Messages wait.
 * - `closed`: for good; an error says why, unless the app closed the chat.
 */
export type ChatState = "connecting" | "open" | "reconnecting" | "closed";

/** What a connection tells its chat. */
export interface ConnectionListener {
  /** A socket is open, the first or another one. */
  onOpen(established: ConnectionEstablished): void;
  onEvent(event: ServerEvent | UnknownEvent): void;
  /** With `closed` comes an error, unless `close` had none; with another state, if an attempt has failed. */
  onState(state: ChatState, error?: ChatError): void;
}

/** API Gateway closes a socket after ten minutes without frames. */
const PING_AFTER = 4 * 60 * SECOND;
/** The server responds to a frame within nine seconds. */
const PONG_WITHIN = 10 * SECOND;
/** A socket that lives for longer was of use, even if nothing arrived. */
const USEFUL_AFTER = 10 * SECOND;
/** How long before its end a socket is replaced. */
const RENEW_BEFORE = 60 * SECOND;

/** Keeps one socket open: another one when it is lost, when it seems dead, and before the server ends it. */
export class Connection {
  state: ChatState = "connecting";
  #socket: Socket | undefined;
  #renewAt = Infinity;
  #pongDeadline = Infinity;
  /** Whether an event came after the first one of the socket. */
  #hasReceived = false;
  /** Ends the pause before the next attempt. */
  #retryNow = () => {};
  readonly #source: Source;
  readonly #options: Required<ConnectionOptions>;
  readonly #clock: AwakeClock;
  readonly #listener: ConnectionListener;

  constructor(source: Source, options: ConnectionOptions, clock: AwakeClock, listener: ConnectionListener) {
    const { WebSocket = globalThis.WebSocket as WebSocketConstructor | undefined } = options;
    if (!WebSocket) {
      const suggestion = "Use Node 22, or pass `WebSocket` of the package `ws`.";
      throw new ChatError("CONNECTION_FAILED", "This runtime has no WebSocket.", suggestion);
    }
    if (typeof source === "object" && globalThis.document) {
      const suggestion = "Pass the address of a ticket route.";
      throw new ChatError("CONNECTION_FAILED", "The user of this browser could read the key.", suggestion);
    }
    this.#source = source;
    this.#options = { connectTimeoutMs: 15 * SECOND, giveUpAfterMs: 120 * SECOND, ...options, WebSocket };
    this.#clock = clock;
    this.#listener = listener;
    for (const type of ["online", "offline"]) globalThis.addEventListener?.(type, this.#check);
    globalThis.document?.addEventListener("visibilitychange", this.#check);
    void this.#run();
  }

  get isClosed(): boolean {
    return this.state === "closed";
  }

  get isOpen(): boolean {
    return this.#socket !== undefined;
  }

  /** Sends a frame, if a socket is open. */
  send(frame: Frame): void {
    this.#socket?.send(frame);
  }

  /** Replaces a socket that seems to be dead. */
  drop(): void {
    this.#socket?.close();
  }

  /** Closes for good. */
  close(error?: ChatError): void {
    this.#setState("closed", error);
    for (const type of ["online", "offline"]) globalThis.removeEventListener?.(type, this.#check);
    globalThis.document?.removeEventListener("visibilitychange", this.#check);
    this.#retryNow();
    this.drop();
  }

  /** Does what is due; called once a second. */
  watch(): void {
    const now = Date.now();
    if (!this.#socket) return;
    if (now >= this.#pongDeadline) return this.drop();
    if (now >= this.#socket.sentAt + PING_AFTER) this.#ping();
    // If that fails, the socket is replaced when it ends.
    if (now >= this.#renewAt) this.#open().catch(() => {});
  }

  async #run(): Promise<void> {
    const giveUp = () => this.#clock.now() + this.#options.giveUpAfterMs;
    let [attempt, giveUpAt] = [0, giveUp()];
    while (!this.isClosed) {
      try {
        await this.#open();
        const openedAt = this.#clock.now();
        for (let socket = this.#socket; socket && socket === this.#socket; socket = this.#socket) {
          await socket.closed;
          if (socket === this.#socket) this.#socket = undefined;
        }
        this.#setState("reconnecting");
        // What breaks each socket at once must not open hundreds.
        if (this.#hasReceived || this.#clock.now() > openedAt + USEFUL_AFTER) [attempt, giveUpAt] = [0, giveUp()];
        else attempt += 1;
        // All clients come back at once when a server restarts.
        await this.#pause(attempt === 0 ? Math.random() * 300 : backoff(attempt));
      } catch (cause) {
        if (this.isClosed) return;
        const error = cause as ChatError;
        attempt += 1;
        const rest = giveUpAt - this.#clock.now();
        // The same key gets the same response, but the next ticket may do.
        const isFinal = typeof this.#source === "object" && error.status !== undefined && error.status < 429;
        if (!error.retryable || isFinal || rest <= 0) {
          this.close(error);
        } else {
          this.#listener.onState(this.state, error);
          await this.#pause(Math.min(error.retryAfterMs ?? backoff(attempt), rest));
        }
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    const skip = new AbortController();
    this.#retryNow = () => skip.abort();
    await sleep(ms, skip.signal).catch(() => {});
  }

  /** Opens a socket, and puts it in the place of the one before. */
  async #open(): Promise<void> {
    this.#renewAt = Infinity;
    const { WebSocket, connectTimeoutMs } = this.#options;
    const [socket, established] = await Socket.open(await this.#url(), WebSocket, connectTimeoutMs);
    if (this.isClosed) return socket.close();
    const before = this.#socket;
    this.#socket = socket;
    before?.close();
    this.#renewAt = socket.expiresAt - RENEW_BEFORE * (1 + Math.random());
    this.#pongDeadline = Infinity;
    this.#hasReceived = false;
    this.#setState("open");
    this.#listener.onOpen(established);
    socket.listen((event) => {
      this.#pongDeadline = Infinity;
      this.#hasReceived = true;
      this.#listener.onEvent(event);
    });
  }

  async #url(): Promise<string> {
    const source = this.#source;
    if (typeof source === "object") {
      const { url, key, userId, chatId } = source;
      return `${url}?${new URLSearchParams({ api_key: key, user_id: userId, chat_id: chatId })}`;
    }
    const ticket = (await (typeof source === "string" ? this.#request(source) : this.#ask(source))) as TicketLike;
    const url = typeof ticket === "string" ? ticket : ticket?.url;
    if (typeof url === "string") return url;
    throw new ChatError("TICKET_FAILED", "The ticket has no `url`.", "Return what the API returns for a ticket.");
  }

  async #request(route: string): Promise<unknown> {
    try {
      return await request(route, { method: "POST" }, { timeoutMs: this.#options.connectTimeoutMs });
    } catch (cause) {
      const error = cause as ChatError;
      if (error.code !== "BAD_RESPONSE") throw error;
      const { status } = error;
      const suggestion = "Check that the user may open this chat.";
      throw new ChatError("TICKET_FAILED", `The ticket route responded with ${status}.`, suggestion, { status, cause });
    }
  }

  async #ask(source: () => Promise<TicketLike>): Promise<TicketLike> {
    try {
      return await within(this.#options.connectTimeoutMs, source());
    } catch (cause) {
      if (cause instanceof ChatError) throw cause;
      const message = `No ticket: ${cause instanceof Error ? cause.message : cause}.`;
      throw new ChatError("TICKET_FAILED", message, "Check the ticket route.", { retryable: true, cause });
    }
  }

  /** The network may be gone or back, or the machine awake: finds out. */
  readonly #check = (): void => {
    if (globalThis.document?.visibilityState === "hidden") return;
    this.#retryNow();
    this.#ping();
  };

  #ping(): void {
    this.#pongDeadline = Date.now() + PONG_WITHIN;
    this.send({ type: "ping" });
  }

  #setState(state: ChatState, error?: ChatError): void {
    if (this.isClosed || this.state === state) return;
    this.state = state;
    this.#listener.onState(state, error);
  }
}
