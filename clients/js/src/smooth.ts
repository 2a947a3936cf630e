import { sleep } from "./timing.js";

export interface SmoothOptions {
  /** How far the shown text is behind the received one, in milliseconds. Default: 200, two frames of the server. */
  delayMs?: number;
  /** The time between two parts, in milliseconds. Default: 16, a frame of most screens. */
  tickMs?: number;
}

/**
 * Turns the parts of an answer, which come some times a second, into an even flow of text.
 *
 * ```ts
 * for await (const part of smooth(answer)) show(part);
 * ```
 *
 * An answer that fails throws after its text, as without this function. What people see as one character stays whole.
 */
export async function* smooth(
  parts: AsyncIterable<string>,
  { delayMs = 200, tickMs = 16 }: SmoothOptions = {},
): AsyncGenerator<string, void, undefined> {
  const waiting: string[] = [];
  let end: { error?: unknown } | undefined;
  let wake = () => {};
  void (async () => {
    try {
      for await (const part of parts) {
        for (const character of characters(part)) waiting.push(character);
        wake();
      }
      end = {};
    } catch (error) {
      end = { error };
    }
    wake();
  })();
  let shownAt = Date.now();
  while (waiting.length > 0 || !end) {
    if (waiting.length === 0) {
      await new Promise<void>((resolve) => (wake = resolve));
      shownAt = Date.now();
      continue;
    }
    await sleep(tickMs);
    // By the clock: a browser slows the timers of a hidden page.
    const passed = Date.now() - shownAt;
    shownAt += passed;
    yield waiting.splice(0, Math.ceil(waiting.length * Math.min(passed / delayMs, 1)) || 1).join("");
  }
  if ("error" in end) throw end.error;
}

/** What people see as characters: an emoji of several code points is one. */
function characters(text: string): Iterable<string> {
  if (!("Segmenter" in Intl)) return text;
  return Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
}
