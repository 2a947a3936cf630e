import type { ChatInfo } from "../../src/server.js";
import { backend } from "./backend.js";
import { button, byId, create } from "./dom.js";
import { attempt } from "./notice.js";

/** The chats of the user: lists, changes, deletes. */
export class ChatList {
  #chats: ChatInfo[] = [];
  #current = "";
  readonly #list = byId<HTMLUListElement>("chat-list");

  constructor(
    private readonly onChanged: (id: string) => void,
    private readonly onDeleted: (id: string) => void,
  ) {}

  async load(): Promise<void> {
    this.#chats = (await backend.listChats()).chats;
    this.#show();
  }

  /** A chat that was created, renamed or used is the first one. */
  put(chat: ChatInfo): void {
    this.#chats = [chat, ...this.#chats.filter((other) => other.chat_id !== chat.chat_id)];
    this.#show();
  }

  select(id: string): void {
    this.#current = id;
    this.#show();
  }

  titleOf(id: string): string {
    return titleOf(this.#chats.find((chat) => chat.chat_id === id));
  }

  /** Names a chat after its first message. */
  async name(id: string, content: string): Promise<void> {
    const chat = this.#chats.find((other) => other.chat_id === id);
    if (!chat || chat.title) return;
    const [line = ""] = content.trim().split("\n");
    this.put(await backend.changeChat(id, { title: line.length > 60 ? `${line.slice(0, 59)}…` : line }));
  }

  async #askForSettings(chat: ChatInfo): Promise<void> {
    const [title, model] = [byId<HTMLInputElement>("new-title"), byId<HTMLInputElement>("model")];
    const prompt = byId<HTMLTextAreaElement>("system-prompt");
    const { config } = chat;
    [title.value, model.value, prompt.value] = [chat.title ?? "", config.model ?? "", config.system_prompt ?? ""];
    if ((await answerOf("settings")) !== "save") return;
    const [newTitle, newModel, newPrompt] = [title, model, prompt].map((input) => input.value.trim() || null);
    const change = { title: newTitle!, config: { model: newModel!, system_prompt: newPrompt! } };
    this.put(await backend.changeChat(chat.chat_id, change));
    this.onChanged(chat.chat_id);
  }

  async #askToDelete(chat: ChatInfo): Promise<void> {
    byId("deleted-title").textContent = titleOf(chat);
    if ((await answerOf("delete")) !== "delete") return;
    await backend.deleteChat(chat.chat_id);
    this.#chats = this.#chats.filter((other) => other !== chat);
    this.#show();
    this.onDeleted(chat.chat_id);
  }

  #show(): void {
    const items = this.#chats.map((chat) => {
      const title = titleOf(chat);
      const link = create("a", { href: `#${chat.chat_id}`, title }, title);
      if (chat.chat_id === this.#current) link.setAttribute("aria-current", "page");
      const rename = button("✎", () => attempt(this.#askForSettings(chat)), `Settings of ${title}`);
      const remove = button("🗑", () => attempt(this.#askToDelete(chat)), `Delete ${title}`);
      return create("li", {}, link, rename, remove);
    });
    this.#list.replaceChildren(...items);
  }
}

function titleOf(chat: ChatInfo | undefined): string {
  return chat?.title || "New chat";
}

/** Opens a dialog; the value of the button that closes it. */
function answerOf(id: string): Promise<string> {
  const dialog = byId<HTMLDialogElement>(id);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}
