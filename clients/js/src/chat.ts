import { Answer } from "./answer.js";
import { type ChatState, Connection, type ConnectionOptions, type Source } from "./connection.js";
import { ChatError, serverError } from "./errors.js";
import {
  type ActiveStream,
  type ConnectionEstablished,
  type ErrorEvent,
  type Frame,
  type MessageReceived,
  type ServerEvent,
  type StreamStarted,
  type UnknownEvent,
} from "./events.js";
import { randomId } from "./random_id.js";
import { AwakeClock, backoff, SECOND } from "./timing.js";

export interface ChatOptions extends ConnectionOptions {
  /** How long to try to send a message, and to get the rest of an answer, in milliseconds. Default: 120,000. */
  messageTimeoutMs?: number;
}

/** What a chat reports. */
export interface ChatEvents {
  /** With an error: an attempt to connect failed, or the chat is closed for this reason. */
  state: { state: ChatState; error?: ChatError };
  /** An answer starts or is asked for, from this chat, or from another socket of the user. */
  answer: Answer;
  /** Text of an answer arrived. */
  text: { answer: Answer; text: string };
  /** A message is stored: with its answer if it was sent here, without if on another socket of the user. */
  message: { message: MessageReceived; answer?: Answer };
  /** A message waits, since a limit is reached. */
  retry: { error: ChatError; inMs: number };
  /** Everything that the server sends. */
  event: ServerEvent | UnknownEvent;
  /** An event of a type that this version does not know. */
  unknown: UnknownEvent;
}

/** A message or a regeneration that the server has not acknowledged. One is sent at a time: an error names none. */
interface Command {
  frame: Extract<Frame, { type: "message" }> | { type: "regenerate"; message_id: string };
  answer: Answer;
  /** When to send it again. */
  resendAt: number;
  /** By the awake time. */
  giveUpAt: number;
  /** Whether it was acknowledged: its answer is missing. */
  isStored: boolean;
  /** Whether the server did not store it when it was last sent. */
  isRefused: boolean;
  /** How often it was sent on this socket, and at all. */
  sentHere: number;
  sent: number;
}

/** The server refuses larger frames, and closes the socket of one above 32 KB without a word. */
const MAX_FRAME_BYTES = 28 * 1024;
/** The server responds to a frame within nine seconds. */
const RESPONSE_WITHIN = 10 * SECOND;
/** A stream that is silent for longer may have lost its process. */
const SILENT_AFTER = 20 * SECOND;
/** How long an answer may take to go on once the rest was asked for. */
const RESUMED_WITHIN = 5 * SECOND;
/** A message waits for a limit that lasts no longer. */
const LONGEST_LIMIT = 60 * SECOND;

/** A chat that stays connected: see {@link connect}. */
export class Chat {
  readonly #listeners = new Map<keyof ChatEvents, Set<(event: never) => void>>();
  /** The answers that have not ended, by their ids. */
  readonly #answers = new Map<string, Answer>();
  /** The ids of those that have. */
  readonly #ended = new Set<string>();
  /** Messages that are acknowledged, by their ids, until their answers start. */
  readonly #expected = new Map<string, Command>();
  #commands: Command[] = [];
  /** The answers to messages of this chat that have not ended, by the client's ids of the messages. */
  readonly #sent = new Map<string, Answer>();
  /** Handles events that may be of the answer to a command, once that is acknowledged. */
  #held: (() => void)[] = [];
  readonly #clock = new AwakeClock();
  readonly #connection: Connection;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #messageTimeoutMs: number;

  /** @internal */
  constructor(source: Source, { messageTimeoutMs = 120 * SECOND, ...options }: ChatOptions) {
    this.#messageTimeoutMs = messageTimeoutMs;
    this.#connection = new Connection(source, options, this.#clock, {
      onOpen: (established) => this.#onOpen(established),
      onEvent: (event) => this.#onEvent(event),
      onState: (state, error) => this.#onState(state, error),
    });
    this.#timer = setInterval(() => this.#tick(), SECOND);
  }

  get state(): ChatState {
    return this.#connection.state;
  }

  /** The answers that stream, oldest first. */
  get answers(): Answer[] {
    return [...this.#answers.values()];
  }

  /** Calls `listener` for each event. Returns a function that ends that. */
  on<Name extends keyof ChatEvents>(name: Name, listener: (event: ChatEvents[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /**
   * Sends a message, as soon as there is a connection. It is stored once and answered once, however often the connection
   * breaks.
   */
  send(content: string, options: { clientMessageId?: string; signal?: AbortSignal } = {}): Answer {
    const { clientMessageId = randomId(), signal } = options;
    const known = this.#sent.get(clientMessageId);
    if (known) return known;
    const answer = this.#ask({ type: "message", content, client_message_id: clientMessageId }, signal);
    this.#sent.set(clientMessageId, answer);
    void answer.ended.catch(() => {}).then(() => this.#sent.delete(clientMessageId));
    return answer;
  }

  /** Asks for another answer in the place of the chat's last one. */
  regenerate(messageId: string, options: { signal?: AbortSignal } = {}): Answer {
    return this.#ask({ type: "regenerate", message_id: messageId }, options.signal);
  }

  /** Closes the chat. What has not ended rejects with `CLOSED`; the server completes answers without it. */
  close(): void {
    this.#connection.close();
  }

  #ask(frame: Command["frame"], signal: AbortSignal | undefined): Answer {
    const answer = new Answer((answer) => this.#cancel(answer));
    const bytes = new TextEncoder().encode(JSON.stringify(frame)).length;
    if (frame.type === "regenerate") answer.replaces = frame.message_id;
    if (this.state === "closed") answer.fail(closed());
    else if (bytes > MAX_FRAME_BYTES) answer.fail(tooLarge(bytes));
    else if (signal?.aborted) answer.endUnsent();
    if (answer.hasEnded) return answer;
    if (signal) {
      const cancel = () => answer.cancel();
      signal.addEventListener("abort", cancel, { once: true });
      void answer.ended.catch(() => {}).then(() => signal.removeEventListener("abort", cancel));
    }
    this.#commands.push({
      frame,
      answer,
      resendAt: 0,
      giveUpAt: this.#clock.now() + this.#messageTimeoutMs,
      isStored: false,
      isRefused: false,
      sentHere: 0,
      sent: 0,
    });
    this.#emit("answer", answer);
    this.#sendNext();
    return answer;
  }

  #cancel(answer: Answer): void {
    const command = this.#commands.find((command) => command.answer === answer);
    if (command && !mayBeAnswered(command)) return this.#settle(answer);
    answer.isCancelled = true;
    if (answer.messageId) this.#sendCancel(answer);
  }

  #sendCancel(answer: Answer): void {
    this.#connection.send({ type: "cancel", message_id: answer.messageId! });
    // If the socket does not get the end, the rest is asked for.
    answer.resumeAt = Math.min(answer.resumeAt, Date.now() + RESUMED_WITHIN);
  }

  /** Asks a new socket for what the last one may have missed. */
  #onOpen(established: ConnectionEstablished): void {
    this.#emit("event", established);
    const streams = established.active_streams;
    for (const answer of this.#answers.values()) this.#resume(answer);
    for (const [messageId, command] of this.#expected) {
      if (!streams.some((stream) => stream.in_reply_to === messageId)) this.#askAgain(messageId, command);
    }
    for (const command of this.#commands) [command.resendAt, command.sentHere] = [0, 0];
    for (const stream of streams) if (!this.#answers.has(stream.message_id)) this.#join(stream);
    this.#sendNext();
  }

  /** Sends a message again whose answer did not start here: its acknowledgement names the answer. */
  #askAgain(messageId: string, command: Command): void {
    this.#expected.delete(messageId);
    [command.resendAt, command.sentHere] = [0, 0];
    // A command that is on its way comes first: an error names none.
    this.#commands.splice(this.#commands[0]?.sentHere ? 1 : 0, 0, command);
  }

  #resume(answer: Answer): void {
    answer.resumes += 1;
    answer.resumeAt = Date.now() + RESUMED_WITHIN;
    this.#connection.send({ type: "resume", message_id: answer.messageId!, offset: answer.offset });
    if (answer.isCancelled) this.#sendCancel(answer);
  }

  #sendNext(): void {
    const [command] = this.#commands;
    if (!command || !this.#connection.isOpen || Date.now() < command.resendAt) return;
    command.sentHere += 1;
    command.sent += 1;
    command.isRefused = false;
    command.resendAt = Date.now() + RESPONSE_WITHIN;
    this.#connection.send(command.frame);
  }

  /** Does what is due, once a second. */
  #tick(): void {
    this.#clock.tick();
    const awake = this.#clock.now();
    for (const { answer, isStored, giveUpAt } of [...this.#commands, ...this.#expected.values()]) {
      if (giveUpAt <= awake) this.#settle(answer, isStored ? noAnswer("start") : noResponse());
    }
    for (const answer of this.#answers.values()) {
      if (awake <= answer.receivedAt + this.#messageTimeoutMs) continue;
      this.#end(answer, noAnswer("go on"));
    }
    if (this.#connection.isOpen) this.#askForLate(Date.now());
    this.#connection.watch();
  }

  /** Asks again for what did not come in time; drops a socket that brings nothing. */
  #askForLate(now: number): void {
    for (const [messageId, command] of this.#expected) if (now >= command.resendAt) this.#askAgain(messageId, command);
    const late = [...this.#answers.values()].filter((answer) => now >= answer.resumeAt);
    const [command] = this.#commands;
    if ((command && command.sentHere >= 2 && now >= command.resendAt) || late.some((answer) => answer.resumes >= 3)) {
      for (const answer of late) answer.resumes = 0;
      return this.#connection.drop();
    }
    for (const answer of late) this.#resume(answer);
    this.#sendNext();
  }

  #onEvent(event: ServerEvent | UnknownEvent): void {
    this.#emit("event", event);
    const known = event as ServerEvent;
    switch (known.type) {
      case "message_received":
        return this.#onReceived(known);
      case "message_stream_started":
      case "message_stream_token":
      case "message_stream_ended":
        return this.#onStreamEvent(known);
      case "error":
        return this.#onError(known);
      case "connection_established":
      case "user_created":
      case "pong":
        return;
      default:
        // A type that the generated events have, and this list has not, does not compile.
        known satisfies never;
        this.#emit("unknown", event);
    }
  }

  #onReceived(event: MessageReceived): void {
    const id = event.client_message_id;
    const command = this.#commands.find(({ frame }) => frame.type === "message" && frame.client_message_id === id);
    // A message that was sent again may be acknowledged twice.
    if (!command) return void (this.#sent.has(id!) || this.#emit("message", { message: event }));
    const { answer } = command;
    this.#drop(answer);
    answer.onReceived(event);
    if (!command.isStored) command.giveUpAt = this.#clock.now() + this.#messageTimeoutMs;
    command.isStored = true;
    command.resendAt = Date.now() + SILENT_AFTER;
    const streaming = this.#answers.get(event.answer_id!);
    if (streaming) answer.follow(streaming);
    else this.#expected.set(event.message_id, command);
    this.#release();
    if (event.answer_id) {
      // The app may have sent it before, and seen its answer.
      this.#ended.delete(event.answer_id);
      this.#join({ message_id: event.answer_id, seq: event.seq + 1, in_reply_to: event.message_id });
    }
    this.#sendNext();
    this.#emit("message", { message: event, answer });
  }

  /** Handles what waited until a command was acknowledged. */
  #release(): void {
    for (const handle of this.#held.splice(0)) handle();
  }

  /** Asks for an answer that has started elsewhere, from its beginning. */
  #join(stream: ActiveStream): void {
    if (this.#ended.has(stream.message_id) || this.#answers.has(stream.message_id)) return;
    const answer = this.#claim(stream);
    if (answer) this.#resume(answer);
    else this.#held.push(() => this.#join(stream));
  }

  #onStreamEvent(event: Extract<ServerEvent, { type: `message_stream_${string}` }>): void {
    if (this.#ended.has(event.message_id)) return;
    const started = event.type === "message_stream_started";
    const answer = this.#answers.get(event.message_id) ?? (started ? this.#claim(event) : undefined);
    if (!answer) {
      if (this.#commands[0] && mayBeAnswered(this.#commands[0])) this.#held.push(() => this.#onStreamEvent(event));
      return;
    }
    this.#noteEvent(answer);
    let text: string | undefined = "";
    if (started) {
      answer.onStarted(event);
    } else if (event.type === "message_stream_token") {
      text = answer.onToken(event);
    } else {
      text = answer.onEnded(event);
      if (text !== undefined) this.#end(answer);
    }
    if (text === undefined) this.#resume(answer);
    if (text) this.#emit("text", { answer, text });
  }

  #noteEvent(answer: Answer): void {
    answer.receivedAt = this.#clock.now();
    answer.resumeAt = Date.now() + SILENT_AFTER;
    answer.resumes = 0;
  }

  /** The answer of a stream that is new; undefined as long as it may be the answer to a command. */
  #claim(stream: ActiveStream | StreamStarted): Answer | undefined {
    const [command] = this.#commands;
    const asked = this.#expected.get(stream.in_reply_to)?.answer ?? this.#regenerated(stream);
    if (!asked && command && mayBeAnswered(command)) return undefined;
    const answer = asked ?? new Answer((answer) => this.#cancel(answer));
    this.#expected.delete(stream.in_reply_to);
    answer.onStarted(stream);
    this.#answers.set(stream.message_id, answer);
    this.#noteEvent(answer);
    if (!asked) this.#emit("answer", answer);
    if (answer.isCancelled) this.#sendCancel(answer);
    if (answer === command?.answer) {
      this.#commands.shift();
      this.#release();
      this.#sendNext();
    }
    return answer;
  }

  /** The answer to a command to regenerate, if this is its stream. */
  #regenerated(stream: ActiveStream | StreamStarted): Answer | undefined {
    const [command] = this.#commands;
    if (command?.frame.type !== "regenerate" || command.sent === 0) return undefined;
    return stream.replaces === command.frame.message_id ? command.answer : undefined;
  }

  #onError(event: ErrorEvent): void {
    const { error: sent, message_id, request_id } = event;
    const error = serverError(sent, sent.details.retryable, { requestId: request_id });
    const about = error.details.message_id;
    const [command] = this.#commands;
    if (error.code === "CHAT_NOT_FOUND" || error.code === "CONNECTION_CLOSING") return this.#connection.close(error);
    if (message_id !== undefined) return this.#answers.get(message_id)?.onError(error);
    if (about !== undefined && !(command?.frame.type === "regenerate" && command.frame.message_id === about)) {
      // Of a command to resume or to cancel.
      const answer = this.#answers.get(about);
      if (answer && error.retryable) this.#resumeLater(answer, error);
      else if (answer) this.#end(answer, error);
      return;
    }
    if (error.code === "RATE_LIMIT_EXCEEDED") {
      for (const answer of this.#answers.values()) if (answer.resumes > 0) this.#resumeLater(answer, error);
    }
    if (command && command.sentHere > 0) this.#retryOrSettle(command, error);
  }

  #resumeLater(answer: Answer, error: ChatError): void {
    answer.resumes = 1;
    answer.resumeAt = Date.now() + (error.retryAfterMs ?? SECOND);
  }

  #retryOrSettle(command: Command, error: ChatError): void {
    const inMs = Math.ceil(error.retryAfterMs ?? backoff(command.sent));
    if (!error.retryable || inMs > LONGEST_LIMIT) return this.#settle(command.answer, error);
    // After these two, the message may be stored.
    command.isRefused = error.code !== "UNAVAILABLE" && error.code !== "INTERNAL";
    command.resendAt = Date.now() + inMs;
    command.sentHere = 0;
    if (command.isRefused && command.answer.isCancelled) return this.#cancel(command.answer);
    // What was kept for it is of another socket.
    this.#release();
    this.#emit("retry", { error, inMs });
  }

  /** Ends a command that is refused, or taken back before it was sent. */
  #settle(answer: Answer, error?: ChatError): void {
    this.#drop(answer);
    if (error) answer.fail(error);
    else answer.endUnsent();
    this.#release();
    this.#sendNext();
  }

  /** Forgets the command of an answer. */
  #drop(answer: Answer): void {
    this.#commands = this.#commands.filter((command) => command.answer !== answer);
    for (const [id, command] of this.#expected) if (command.answer === answer) this.#expected.delete(id);
  }

  /** Forgets an answer that has ended, or fails it. */
  #end(answer: Answer, error?: ChatError): void {
    this.#answers.delete(answer.messageId!);
    this.#ended.add(answer.messageId!);
    if (error) answer.fail(error);
  }

  #onState(state: ChatState, error?: ChatError): void {
    if (state === "closed") {
      clearInterval(this.#timer);
      const reason = error ?? closed();
      for (const { answer } of [...this.#commands, ...this.#expected.values()]) answer.fail(reason);
      for (const answer of this.#answers.values()) answer.fail(reason);
    }
    this.#emit("state", error ? { state, error } : { state });
  }

  #emit<Name extends keyof ChatEvents>(name: Name, event: ChatEvents[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(event as never);
      } catch (error) {
        // An error of the app does not break the chat.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

/**
 * Connects to a chat, and stays connected until `close()`: it reconnects after a pause that grows, before the server ends
 * the socket and when the network is back; sends messages again that were not acknowledged; and continues answers where
 * they broke off.
 */
export function connect(source: Source, options: ChatOptions = {}): Chat {
  return new Chat(source, options);
}

function closed(): ChatError {
  return new ChatError("CLOSED", "The chat is closed.", "Connect again.");
}

/** Whether a stream may be the answer to a command, which is not acknowledged. */
function mayBeAnswered(command: Command): boolean {
  return command.isStored || (command.sent > 0 && !command.isRefused);
}

function tooLarge(bytes: number): ChatError {
  const details = { allowed_bytes: MAX_FRAME_BYTES, got_bytes: bytes };
  const message = `The message is too large: ${bytes} bytes.`;
  return new ChatError("MESSAGE_TOO_LARGE", message, "Send several messages.", { details });
}

function noResponse(): ChatError {
  const suggestion = "Check the network.";
  return new ChatError("NO_RESPONSE", "The message was not sent in time.", suggestion, { retryable: true });
}

function noAnswer(what: string): ChatError {
  const suggestion = "Load the messages of the chat.";
  return new ChatError("NO_RESPONSE", `The answer does not ${what}.`, suggestion, { retryable: true });
}
