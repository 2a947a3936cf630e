import { button, create } from "./dom.js";
import { renderMarkdown } from "./markdown.js";

export type MessageStatus = "sending" | "streaming" | "complete" | "cancelled" | "interrupted" | "failed";

const STATUS_TEXTS: Partial<Record<MessageStatus, string>> = {
  cancelled: "Stopped",
  interrupted: "Interrupted",
  failed: "Failed",
};

/** A message in the thread. */
export class MessageView {
  readonly element: HTMLLIElement;
  text = "";
  readonly #body = create("div", { className: "body" });
  readonly #copy = button("Copy", () => void navigator.clipboard?.writeText(this.text), "Copy the answer");
  readonly #actions = create("span");
  readonly #state = create("span", { className: "status" });
  #isRendering = false;

  constructor(
    readonly role: "user" | "assistant",
    public id: string | undefined,
    public seq: number,
  ) {
    this.element = create("li", { className: `message ${role}` });
    const who = create("span", { className: "hidden" }, role === "user" ? "You: " : "Answer: ");
    this.element.append(who, this.#body);
    if (role === "assistant") this.element.append(create("footer", {}, this.#copy, this.#actions, this.#state));
  }

  get status(): MessageStatus {
    return this.element.dataset.status as MessageStatus;
  }

  /** Shows how the message is, and why. */
  setStatus(status: MessageStatus, reason = STATUS_TEXTS[status] ?? ""): void {
    this.element.dataset.status = status;
    this.#state.textContent = reason;
    this.#state.className = status === "failed" || status === "interrupted" ? "status failed" : "status";
    this.#copy.hidden = status === "streaming";
    this.setActions([]);
    if (this.role === "assistant") this.#render();
  }

  /** Shows what can be done with an answer, beside copying it. */
  setActions(actions: HTMLElement[]): void {
    // The focus stays on a button that stays.
    if (actions.length === this.#actions.childElementCount) return;
    this.#actions.replaceChildren(...actions);
  }

  append(text: string): void {
    this.setText(this.text + text);
  }

  setText(text: string): void {
    this.text = text;
    if (this.role === "user") {
      this.#body.textContent = text;
    } else if (!this.#isRendering) {
      // Once for all text of a frame of the screen. A hidden page has none.
      this.#isRendering = true;
      if (document.hidden) setTimeout(() => this.#render());
      else requestAnimationFrame(() => this.#render());
    }
  }

  #render(): void {
    this.#isRendering = false;
    renderMarkdown(this.text, this.#body);
    for (const block of this.#body.querySelectorAll("pre")) {
      const code = block.textContent;
      block.tabIndex = 0;
      block.append(button("Copy", () => void navigator.clipboard?.writeText(code), "Copy the code"));
    }
  }
}
