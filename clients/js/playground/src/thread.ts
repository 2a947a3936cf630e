import { type Answer, type Chat, type ChatEvents, connect } from "../../src/index.js";
import { smooth } from "../../src/smooth.js";
import type { Message } from "../../src/server.js";
import { backend } from "./backend.js";
import { button, byId } from "./dom.js";
import { MessageView, type MessageStatus } from "./message_view.js";
import { network, SwitchedWebSocket } from "./network.js";
import { attempt, explain, showNotice } from "./notice.js";

/** What the page does when something happens in a thread. */
export interface ThreadListener {
  onState(event: ChatEvents["state"]): void;
  onEvent(event: ChatEvents["event"]): void;
  /** A message was sent. */
  onSent(): void;
  /** An answer streams or not. */
  onStreaming(isStreaming: boolean): void;
}

/** The messages of one chat, and its connection. */
export class Thread {
  readonly #chat: Chat;
  readonly #views: MessageView[] = [];
  readonly #running = new Map<Answer, MessageView>();
  readonly #list = byId<HTMLOListElement>("thread");
  readonly #scroller = byId("messages");
  readonly #earlier = byId<HTMLButtonElement>("earlier");
  #loaded = 0;
  #isClosed = false;

  constructor(
    readonly chatId: string,
    readonly listener: ThreadListener,
  ) {
    this.#list.replaceChildren();
    const ticket = async () => {
      if (!network.isOn) throw new Error("the network is off");
      return backend.createTicket(chatId);
    };
    this.#chat = connect(ticket, { WebSocket: SwitchedWebSocket, giveUpAfterMs: 30 * 60 * 1000 });
    this.#chat.on("state", (event) => {
      listener.onState(event);
      // What happened while there was no connection is not sent again.
      if (event.state === "open") attempt(this.#refresh());
    });
    this.#chat.on("event", (event) => {
      listener.onEvent(event);
      // An answer is shown as soon as it starts, before its first text.
      if (event.type === "message_stream_started")
        queueMicrotask(() => this.#running.forEach((view, answer) => this.#show(answer, view)));
    });
    this.#chat.on("retry", ({ error, inMs }) =>
      showNotice(`${error.message} Trying again in ${Math.ceil(inMs / 1000)} s.`),
    );
    this.#chat.on("message", ({ message, answer }) => {
      // A message of this page has its view.
      if (!answer) this.#showStored(message.message_id, message.seq, message.content);
    });
    this.#chat.on("answer", (answer) => void this.#follow(answer));
    this.#earlier.onclick = () => {
      this.#earlier.disabled = true;
      attempt(this.load().finally(() => (this.#earlier.disabled = false)));
    };
  }

  get isEmpty(): boolean {
    return this.#views.length === 0;
  }

  /** Loads the newest messages, then earlier ones. */
  async load(): Promise<void> {
    const { messages, has_more } = await backend.listMessages(this.chatId, this.#loaded);
    if (this.#isClosed) return;
    const height = this.#scroller.scrollHeight;
    this.#loaded += messages.length;
    for (const message of messages) this.#showLoaded(message);
    this.#earlier.hidden = !has_more;
    this.#scroller.scrollTop += this.#scroller.scrollHeight - height;
    this.#updateActions();
  }

  /** Loads the newest messages again: some may be new, and an answer may have ended. */
  async #refresh(): Promise<void> {
    if (this.isEmpty) return;
    const { messages } = await backend.listMessages(this.chatId, 0);
    if (this.#isClosed) return;
    for (const message of messages) {
      const view = this.#view(message.message_id);
      const isRunning = this.#chat.answers.some((answer) => answer.messageId === message.message_id);
      if (!view) this.#showLoaded(message);
      else if (view.status === "streaming" && message.status !== "streaming" && !isRunning) {
        view.setText(message.content);
        view.setStatus(message.status);
      }
    }
    this.#updateActions();
  }

  send(content: string): void {
    const answer = this.#chat.send(content);
    const view = this.#add(new MessageView("user", undefined, Infinity));
    view.setText(content);
    view.setStatus("sending");
    this.#scrollToEnd();
    this.listener.onSent();
    answer.received.then(
      (message) => {
        this.#identify(view, message!.message_id, message!.seq);
        view.setStatus("complete");
        showNotice("");
        this.#place(view);
      },
      () => this.#remove(view),
    );
  }

  /** Ends the answers that stream. */
  stop(): void {
    for (const answer of this.#running.keys()) answer.cancel();
  }

  close(): void {
    this.#isClosed = true;
    this.#chat.close();
  }

  /** Shows an answer while it streams, from this page or another one. */
  async #follow(answer: Answer): Promise<void> {
    const view = this.#view(answer.messageId) ?? new MessageView("assistant", answer.messageId, Infinity);
    view.setText("");
    view.setStatus("streaming");
    this.#running.set(answer, view);
    this.#show(answer, view);
    this.listener.onStreaming(true);
    let status: MessageStatus = "complete";
    let reason = "";
    try {
      for await (const part of smooth(answer)) {
        if (this.#isClosed) return;
        this.#show(answer, view);
        const isAtEnd = this.#isAtEnd();
        view.append(part);
        if (isAtEnd) requestAnimationFrame(() => this.#scrollToEnd());
      }
      const { finishReason } = await answer.ended;
      if (this.#isClosed) return;
      if (finishReason === "cancelled") status = "cancelled";
      else this.#announce(view.text);
    } catch (error) {
      if (this.#isClosed) return;
      status = "failed";
      reason = explain(error);
    }
    this.#running.delete(answer);
    this.#end(answer, view, status, reason);
    this.listener.onStreaming(this.#running.size > 0);
  }

  #end(answer: Answer, view: MessageView, status: MessageStatus, reason: string): void {
    const replaced = answer.replaces === undefined ? undefined : this.#view(answer.replaces);
    if (replaced && status !== "complete") {
      // The old answer stays.
      replaced.element.hidden = false;
      this.#remove(view);
      showNotice(reason);
    } else if (answer.messageId === undefined) {
      // The message was refused, so there is no answer.
      this.#remove(view);
      showNotice(reason);
    } else {
      if (replaced) this.#remove(replaced);
      this.#show(answer, view);
      view.setStatus(status, reason || undefined);
    }
    this.#updateActions();
  }

  /** Puts an answer into the thread, once it has started. */
  #show(answer: Answer, view: MessageView): void {
    if (answer.messageId === undefined || view.element.isConnected) return;
    this.#identify(view, answer.messageId, answer.seq ?? Infinity);
    const replaced = answer.replaces === undefined ? undefined : this.#view(answer.replaces);
    if (replaced) replaced.element.hidden = true;
    this.#add(view);
  }

  #showStored(id: string, seq: number, content: string): void {
    if (this.#view(id)) return;
    const view = new MessageView("user", id, seq);
    view.setText(content);
    view.setStatus("complete");
    this.#add(view);
  }

  #showLoaded({ message_id, role, seq, content, status }: Message): void {
    if (this.#view(message_id)) return;
    const view = new MessageView(role, message_id, seq);
    view.setText(content);
    view.setStatus(status);
    this.#add(view);
  }

  /** Only the last answer may be regenerated, and only while no other one streams. */
  #updateActions(): void {
    const last = this.#views.filter((view) => !view.element.hidden).at(-1);
    for (const view of this.#views) {
      if (view.role === "user" || view.status === "streaming") continue;
      const regenerate = () => view.id && void this.#chat.regenerate(view.id);
      view.setActions(view === last ? [button("Regenerate", regenerate, "Regenerate the answer")] : []);
    }
  }

  #view(id: string | undefined): MessageView | undefined {
    return id === undefined ? undefined : this.#views.find((view) => view.id === id);
  }

  /** Gives a view its id. Its message may have been loaded before its event came. */
  #identify(view: MessageView, id: string, seq: number): void {
    const loaded = this.#view(id);
    if (loaded && loaded !== view) this.#remove(loaded);
    [view.id, view.seq] = [id, seq];
  }

  #add(view: MessageView): MessageView {
    const isAtEnd = this.#isAtEnd();
    this.#views.push(view);
    this.#place(view);
    if (isAtEnd) this.#scrollToEnd();
    byId("welcome").hidden = true;
    return view;
  }

  /** Keeps messages in the order of `seq`; those that are being sent are last. */
  #place(view: MessageView): void {
    this.#views.sort((a, b) => (a.seq === b.seq ? 0 : a.seq - b.seq));
    const next = this.#views[this.#views.indexOf(view) + 1];
    this.#list.insertBefore(view.element, next?.element.isConnected ? next.element : null);
  }

  #remove(view: MessageView): void {
    view.element.remove();
    const index = this.#views.indexOf(view);
    if (index >= 0) this.#views.splice(index, 1);
  }

  #isAtEnd(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < 80;
  }

  #scrollToEnd(): void {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  /** Tells screen readers of a whole answer, not of each part. */
  #announce(text: string): void {
    byId("announcements").textContent = text;
  }
}
