import { ChatError } from "./errors.js";
import type {
  ActiveStream,
  FinishReason,
  MessageReceived,
  StreamEnded,
  StreamStarted,
  StreamToken,
  Timing,
  Usage,
} from "./events.js";

/** How an answer ended. */
export interface AnswerEnd {
  /** The whole text. */
  text: string;
  /** `stop`, `length` or `cancelled`. */
  finishReason: Exclude<FinishReason, "error">;
  /** The tokens that the model used; undefined if the message was never sent. */
  usage?: Usage;
  timing?: Timing;
}

/**
 * An answer that streams. Iterate over it for its text, part by part; each iteration starts at the beginning.
 *
 * ```ts
 * for await (const part of answer) show(part);
 * ```
 *
 * An answer that fails throws its {@link ChatError} after the text that arrived. `text` keeps that text.
 */
export class Answer implements AsyncIterable<string> {
  /** The text so far. */
  text = "";
  /** The id of the answer; undefined until it starts. */
  declare messageId?: string;
  /** Its position in the chat. */
  declare seq?: number;
  /** The message that it answers. */
  declare inReplyTo?: string;
  declare model?: string;
  /** The answer that this one takes the place of when it is complete. */
  declare replaces?: string;
  /**
   * Resolves when the message of the user is stored, with its id and position. Rejects when it is refused. Resolves without
   * a value when the answer starts, if it is a regeneration or was asked for on another socket.
   */
  readonly received: Promise<MessageReceived | undefined>;
  /** Resolves at the end, rejects when the answer fails. */
  readonly ended: Promise<AnswerEnd>;

  /** @internal The end of `text` in bytes of UTF-8. */
  offset = 0;
  /** @internal When to ask for the rest, unless an event of this answer comes. */
  resumeAt = Infinity;
  /** @internal How often the rest was asked for since the last event. */
  resumes = 0;
  /** @internal When the last event of this answer came, by the awake time. */
  receivedAt = 0;
  /** @internal */
  isCancelled = false;

  /** Whether text is missing before a part that came, and was asked for. */
  #hasGap = false;
  #state: "running" | "ended" | ChatError = "running";
  #error: ChatError | undefined;
  #wake = () => {};
  #changed = Promise.resolve();
  readonly #cancel: (answer: Answer) => void;
  #receive!: (event: MessageReceived | undefined) => void;
  #refuse!: (error: ChatError) => void;
  #end!: (end: AnswerEnd) => void;
  #fail!: (error: ChatError) => void;

  /** @internal */
  constructor(cancel: (answer: Answer) => void) {
    this.#cancel = cancel;
    this.received = new Promise((resolve, reject) => ([this.#receive, this.#refuse] = [resolve, reject]));
    this.ended = new Promise((resolve, reject) => ([this.#end, this.#fail] = [resolve, reject]));
    // An app may wait for one of them only, or just iterate.
    this.received.catch(() => {});
    this.ended.catch(() => {});
    this.#nextChange();
  }

  /** Whether nothing more will arrive. */
  get hasEnded(): boolean {
    return this.#state !== "running";
  }

  /** Ends the answer. The text so far stays. */
  cancel(): void {
    if (!this.hasEnded) this.#cancel(this);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    let read = 0;
    for (;;) {
      if (read < this.text.length) {
        const part = this.text.slice(read);
        read = this.text.length;
        yield part;
      } else if (this.#state instanceof ChatError) {
        throw this.#state;
      } else if (this.#state === "ended") {
        return;
      } else {
        await this.#changed;
      }
    }
  }

  /** @internal */
  onReceived(event: MessageReceived): void {
    this.#receive(event);
  }

  /** @internal */
  onStarted(event: ActiveStream & Partial<StreamStarted>): void {
    this.messageId = event.message_id;
    this.seq = event.seq;
    this.inReplyTo = event.in_reply_to;
    if (event.model) this.model = event.model;
    if (event.replaces) this.replaces = event.replaces;
    this.#receive(undefined);
  }

  /** @internal Returns the text that is new, or undefined if text before it has to be asked for. */
  onToken({ offset, next_offset, token }: StreamToken): string | undefined {
    if (offset > this.offset) {
      // All parts that follow lack the same text.
      if (this.#hasGap) return "";
      this.#hasGap = true;
      return undefined;
    }
    if (next_offset <= this.offset) return "";
    // After a network error, a part may come again, and longer.
    const seen = this.offset - offset;
    const text = seen === 0 ? token : new TextDecoder().decode(new TextEncoder().encode(token).subarray(seen));
    this.offset = next_offset;
    this.#hasGap = false;
    return this.#append(text);
  }

  /** @internal What went wrong; the end of the answer follows. */
  onError(error: ChatError): void {
    this.#error = error;
  }

  /** @internal Returns the text that is new, or undefined if it has to be asked for: another end comes after it. */
  onEnded({ content, finish_reason, usage, timing }: StreamEnded): string | undefined {
    if (this.#hasGap && content === undefined) return undefined;
    const rest = content === undefined ? "" : this.#append(content.slice(this.text.length));
    if (finish_reason === "error") {
      const error = new ChatError("AGENT_ERROR", "The answer failed.", "Regenerate it.", { retryable: true });
      this.fail(this.#error ?? error);
    } else {
      this.#finish({ text: this.text, finishReason: finish_reason, usage, timing });
    }
    return rest;
  }

  /** @internal Ends as another one does, with its text: it is the same answer. */
  follow(other: Answer): void {
    this.messageId = other.messageId!;
    const copied = other.ended.finally(() => this.#append(other.text));
    copied.then(
      (end) => this.#finish(end),
      (error) => this.fail(error),
    );
  }

  /** @internal */
  endUnsent(): void {
    this.#refuse(new ChatError("CLOSED", "The message was cancelled before it was sent.", "Send it again."));
    this.#finish({ text: "", finishReason: "cancelled" });
  }

  /** @internal */
  fail(error: ChatError): void {
    if (this.hasEnded) return;
    this.#state = error;
    this.#refuse(error);
    this.#fail(error);
    this.#wakeAll();
  }

  #finish(end: AnswerEnd): void {
    this.#state = "ended";
    this.#end(end);
    this.#wakeAll();
  }

  #append(text: string): string {
    this.text += text;
    if (text) this.#wakeAll();
    return text;
  }

  #wakeAll(): void {
    this.#wake();
    this.#nextChange();
  }

  #nextChange(): void {
    this.#changed = new Promise((resolve) => (this.#wake = resolve));
  }
}
