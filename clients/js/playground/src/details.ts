// The panel with figures of the last answer, and all events.
import type { ServerEvent, UnknownEvent } from "../../src/index.js";
import { rateLimit } from "./backend.js";
import { byId, create } from "./dom.js";

const MAX_EVENTS = 300;
const figures = byId("figures");
const events = byId("events");
byId("clear-events").onclick = () => events.replaceChildren();

let sentAt = 0;
let answer = { id: "", firstMs: 0, startedAt: 0, frames: 0, bytes: 0, tokensPerSecond: "", totalMs: 0 };
let connections = 0;

/** Starts the clock of the next answer. */
export function noteSent(): void {
  sentAt = performance.now();
}

export function showEvent(event: ServerEvent | UnknownEvent): void {
  measure(event as ServerEvent);
  const isAtEnd = events.scrollHeight - events.scrollTop - events.clientHeight < 40;
  const time = create("time", {}, new Date().toISOString().slice(11, 23));
  const summary = create("summary", {}, time, create("span", {}, event.type), create("span", {}, summaryOf(event)));
  const details = create("details", {}, summary);
  details.ontoggle = () => {
    if (details.childElementCount === 1) details.append(create("pre", {}, JSON.stringify(event, null, 2)));
  };
  events.append(create("li", {}, details));
  while (events.childElementCount > MAX_EVENTS) events.firstElementChild?.remove();
  if (isAtEnd) events.scrollTop = events.scrollHeight;
  showFigures();
}

function measure(event: ServerEvent): void {
  const now = performance.now();
  if (event.type === "connection_established") connections += 1;
  if (event.type === "message_stream_started" && event.message_id !== answer.id) {
    answer = { id: event.message_id, firstMs: 0, startedAt: now, frames: 0, bytes: 0, tokensPerSecond: "", totalMs: 0 };
  }
  if (event.type === "message_stream_token") {
    if (answer.frames === 0) answer.firstMs = now - (sentAt || answer.startedAt);
    answer.frames += 1;
    answer.bytes = Math.max(answer.bytes, event.next_offset);
  }
  if (event.type === "message_stream_ended") {
    const { total_ms, first_token_ms } = event.timing;
    answer.totalMs = total_ms;
    const seconds = (total_ms - first_token_ms) / 1000;
    if (seconds > 0) answer.tokensPerSecond = (event.usage.output_tokens / seconds).toFixed(1);
    sentAt = 0;
  }
}

function showFigures(): void {
  const rows: [string, string][] = [
    ["First token", answer.firstMs ? `${answer.firstMs.toFixed(0)} ms` : "–"],
    ["Frames", String(answer.frames)],
    ["Text", `${answer.bytes.toLocaleString("en")} bytes`],
    ["Tokens a second", answer.tokensPerSecond || "–"],
    ["Whole answer", answer.totalMs ? `${(answer.totalMs / 1000).toFixed(2)} s` : "–"],
    ["Connections opened", String(connections)],
    ["REST requests left", rateLimit.limit ? `${rateLimit.remaining} of ${rateLimit.limit}` : "–"],
  ];
  figures.replaceChildren(...rows.flatMap(([name, value]) => [create("dt", {}, name), create("dd", {}, value)]));
}

function summaryOf(event: ServerEvent | UnknownEvent): string {
  const known = event as ServerEvent;
  switch (known.type) {
    case "message_stream_token":
      return `${known.offset}–${known.next_offset} ${JSON.stringify(known.token)}`;
    case "message_stream_ended":
      return known.finish_reason;
    case "message_received":
      return JSON.stringify(known.content);
    case "error":
      return known.error.code;
    default:
      return "";
  }
}

showFigures();
