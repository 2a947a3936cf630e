// The page: a list of chats, the thread of one, and the details of its connection.
import { backend } from "./backend.js";
import { ChatList } from "./chat_list.js";
import { noteSent, showEvent } from "./details.js";
import { byId } from "./dom.js";
import { network } from "./network.js";
import { attempt, explain, showNotice } from "./notice.js";
import { Thread } from "./thread.js";

const content = byId<HTMLTextAreaElement>("content");
const send = byId<HTMLButtonElement>("send");
const state = byId("state");
const STATES = { connecting: "Connecting", open: "Connected", reconnecting: "Reconnecting", closed: "Closed" };

let thread: Thread | undefined;
let isStreaming = false;
let isCreating = false;
const chats = new ChatList(showTitle, (id) => id === thread?.chatId && showNew());

/** Opens a chat, with its messages and a connection. */
function open(id: string): Thread {
  closeThread();
  const opened = new Thread(id, {
    onState: ({ state: next, error }) => {
      showState(next);
      if (error) showNotice(explain(error));
      else if (next === "open") showNotice("");
    },
    onEvent: showEvent,
    onSent: noteSent,
    onStreaming: (streams) => {
      isStreaming = streams;
      updateSend();
    },
  });
  thread = opened;
  showState("connecting");
  chats.select(id);
  showTitle(id);
  return opened;
}

function showTitle(id: string): void {
  if (thread?.chatId === id) byId("title").textContent = chats.titleOf(id);
}

function closeThread(): void {
  thread?.close();
  thread = undefined;
  isStreaming = false;
  showNotice("");
  updateSend();
}

/** Shows an empty thread. The chat is created with its first message. */
function showNew(): void {
  closeThread();
  byId("thread").replaceChildren();
  byId("welcome").hidden = false;
  byId("earlier").hidden = true;
  byId("title").textContent = "New chat";
  state.textContent = "";
  chats.select("");
  if (location.hash) history.pushState(null, "", location.pathname);
  content.focus();
}

function showState(next: keyof typeof STATES): void {
  state.dataset.state = next;
  state.textContent = STATES[next];
}

/** The button stops an answer that streams, unless there is something to send. */
function updateSend(): void {
  const stops = isStreaming && content.value.trim() === "";
  send.textContent = stops ? "Stop" : "Send";
  send.disabled = !stops && content.value.trim() === "";
}

async function submit(): Promise<void> {
  const text = content.value.trim();
  if (!text) return thread?.stop();
  // The chat of the first message is being created.
  if (isCreating) return;
  showNotice("");
  if (!thread) {
    isCreating = true;
    const chat = await backend.createChat().finally(() => (isCreating = false));
    chats.put(chat);
    history.pushState(null, "", `#${chat.chat_id}`);
    open(chat.chat_id);
  }
  content.value = "";
  updateSend();
  const { chatId } = thread!;
  thread!.send(text);
  await chats.name(chatId, text);
  showTitle(chatId);
}

/** Follows the address: `#chat_…` is a chat. */
async function follow(): Promise<void> {
  const id = location.hash.slice(1);
  if (!id.startsWith("chat_")) return showNew();
  if (id === thread?.chatId) return;
  byId("welcome").hidden = true;
  await open(id).load();
  byId("welcome").hidden = !thread?.isEmpty;
}

function toggle(id: "chats" | "details", opener: string, isOpen: boolean): void {
  const panel = byId(id);
  if (id === "details") panel.hidden = !isOpen;
  else panel.classList.toggle("is-open", isOpen);
  byId(opener).setAttribute("aria-expanded", String(isOpen));
  if (!isOpen) byId(opener).focus();
}

byId<HTMLFormElement>("composer").onsubmit = (event) => {
  event.preventDefault();
  attempt(submit());
};
content.oninput = updateSend;
content.onkeydown = (event) => {
  // Enter may also end the composition of a character.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (content.value.trim()) attempt(submit());
};
byId("new-chat").onclick = () => {
  toggle("chats", "open-chats", false);
  showNew();
};
byId<HTMLInputElement>("network").onchange = (event) => network.set((event.target as HTMLInputElement).checked);
byId("toggle-details").onclick = () => toggle("details", "toggle-details", byId("details").hidden);
byId("close-details").onclick = () => toggle("details", "toggle-details", false);
byId("open-chats").onclick = () => toggle("chats", "open-chats", true);
byId("close-chats").onclick = () => toggle("chats", "open-chats", false);
byId("chat-list").onclick = () => toggle("chats", "open-chats", false);
addEventListener("keydown", ({ key }) => {
  if (key === "Escape" && byId("chats").classList.contains("is-open")) toggle("chats", "open-chats", false);
});
addEventListener("hashchange", () => attempt(follow()));

document.querySelector<HTMLElement>(".skip")!.onclick = (event) => {
  // Its address is no chat.
  event.preventDefault();
  content.focus();
};

updateSend();
attempt(chats.load().then(follow));
