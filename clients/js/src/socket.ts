import { ChatError, serverError } from "./errors.js";
import { type ConnectionEstablished, type Frame, type ServerEvent, type UnknownEvent } from "./events.js";

/** What is used of a WebSocket. Those of browsers, of Node 22 and of the package `ws` have it, with types of their own. */
export interface WebSocketLike {
  send(text: string): void;
  close(code?: number): void;
  addEventListener(type: any, listener: (event: any) => void): void;
}

export type WebSocketConstructor = new (url: string) => WebSocketLike;

/** Frames a second: below the ten that the server allows, since the network may bring them closer together. */
const FRAMES = 8;

/** A socket whose `connection_established` has arrived. */
export class Socket {
  /** When the server closes it at the latest, in milliseconds since the epoch by this machine's clock. */
  readonly expiresAt: number;
  /** When the last frame was sent. */
  sentAt = Date.now();
  /** Resolves when the socket is closed, from either side. */
  readonly closed: Promise<void>;

  readonly #ws: WebSocketLike;
  readonly #sent: number[] = [];
  readonly #queue: Frame[] = [];
  /** Events that arrive before `listen`. */
  readonly #early: (ServerEvent | UnknownEvent)[] = [];
  #onEvent: (event: ServerEvent | UnknownEvent) => void = (event) => this.#early.push(event);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #close = () => {};

  private constructor(ws: WebSocketLike, established: ConnectionEstablished) {
    this.#ws = ws;
    // By this machine's clock, which may be hours off.
    this.expiresAt = Date.now() + Date.parse(established.expires_at) - Date.parse(established.timestamp);
    this.closed = new Promise((resolve) => (this.#close = resolve));
  }

  /** Opens a socket. Rejects unless `connection_established` arrives in time. */
  static open(
    url: string,
    WebSocket: WebSocketConstructor,
    timeoutMs: number,
  ): Promise<[Socket, ConnectionEstablished]> {
    return new Promise((resolve, reject) => {
      let socket: Socket | undefined;
      let cause: unknown;
      const ws = create(url, WebSocket);
      const give = (error: ChatError) => {
        clearTimeout(timer);
        reject(error);
        closeQuietly(ws);
      };
      const timer = setTimeout(() => {
        const message = `No connection within ${timeoutMs / 1000} seconds.`;
        give(new ChatError("CONNECTION_FAILED", message, "Check the network.", { retryable: true }));
      }, timeoutMs);
      // The package `ws` says why; a browser does not.
      ws.addEventListener("error", (event) => (cause = event.error ?? event.message));
      ws.addEventListener("close", () => {
        if (socket) return socket.#onClose();
        const reason = cause instanceof Error ? `${cause.message}.` : "The server is not reached or refuses it.";
        const suggestion = "Check address, network, and ticket or key.";
        const status = Number(/response: (\d{3})/.exec(reason)?.[1]) || undefined;
        give(
          new ChatError("CONNECTION_FAILED", `No connection: ${reason}`, suggestion, {
            retryable: true,
            status,
            cause,
          }),
        );
      });
      ws.addEventListener("message", ({ data }) => {
        let event: ServerEvent | UnknownEvent;
        try {
          event = JSON.parse(data);
          if (typeof event.type !== "string") throw new TypeError("an event has a type");
        } catch (cause) {
          const error = new ChatError("BAD_RESPONSE", "The server sent no event.", "Check the address.", { cause });
          if (!socket) give(error);
          return;
        }
        if (socket) return socket.#onEvent(event);
        if (event.type === "connection_established") {
          clearTimeout(timer);
          const established = event as ConnectionEstablished;
          socket = new Socket(ws, established);
          resolve([socket, established]);
        } else if (event.type === "error") {
          const { error, request_id } = event as Extract<ServerEvent, { type: "error" }>;
          give(serverError(error, error.details.retryable, { requestId: request_id }));
        } else {
          const suggestion = "Check the address and both versions.";
          give(new ChatError("BAD_RESPONSE", `The first event is ${event.type}.`, suggestion));
        }
      });
    });
  }

  /** Hands over all events after `connection_established`. */
  listen(onEvent: (event: ServerEvent | UnknownEvent) => void): void {
    this.#onEvent = onEvent;
    this.#early.splice(0).forEach(onEvent);
  }

  /** Sends a frame, later if there were many in this second. */
  send(frame: Frame): void {
    this.#queue.push(frame);
    if (this.#timer === undefined) this.#flush();
  }

  /** Closes the socket. It counts as closed at once: the closing handshake of a dead network takes minutes. */
  close(): void {
    closeQuietly(this.#ws);
    this.#onClose();
  }

  #flush(): void {
    this.#timer = undefined;
    for (let frame = this.#queue[0]; frame; frame = this.#queue[0]) {
      const now = Date.now();
      while (this.#sent.length > 0 && this.#sent[0]! <= now - 1000) this.#sent.shift();
      if (this.#sent.length >= FRAMES) {
        this.#timer = setTimeout(() => this.#flush(), this.#sent[0]! + 1000 - now);
        return;
      }
      this.#queue.shift();
      this.#sent.push(now);
      this.sentAt = now;
      this.#ws.send(JSON.stringify(frame));
    }
  }

  #onClose(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
    this.#onEvent = () => {};
    this.#close();
  }
}

function create(url: string, WebSocket: WebSocketConstructor): WebSocketLike {
  try {
    return new WebSocket(url);
  } catch (cause) {
    const suggestion = "It starts with ws:// or wss://.";
    throw new ChatError("CONNECTION_FAILED", `${url.split("?")[0]} is no address of a WebSocket.`, suggestion, {
      cause,
    });
  }
}

function closeQuietly(ws: WebSocketLike): void {
  try {
    ws.close(1000);
  } catch {
    // It is closed.
  }
}
