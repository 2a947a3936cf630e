import { ChatError } from "../../src/index.js";
import { byId } from "./dom.js";

/** Shows a text below the message that is being written. */
export function showNotice(text: string): void {
  byId("notice").textContent = text;
}

/** Shows why an action failed, and what to do. */
export function attempt(action: Promise<void>): void {
  action.catch((error: unknown) => showNotice(explain(error)));
}

/** What went wrong, and what to do. */
export function explain(error: unknown): string {
  if (error instanceof ChatError) return `${error.message} ${error.suggestion}`.trim();
  return error instanceof Error ? error.message : String(error);
}
