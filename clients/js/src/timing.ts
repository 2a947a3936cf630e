export const SECOND = 1000;

/** The pause before attempt number `attempt` + 1, in milliseconds: it doubles up to 10 s, and is random from half of it on. */
export function backoff(attempt: number): number {
  return Math.min(250 * 2 ** attempt, 10 * SECOND) * (0.5 + Math.random() / 2);
}

/** Waits, unless the signal aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** Waits for a promise for this time at most. */
export function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const stop = new AbortController();
  const timeout = sleep(ms, stop.signal).then(() => {
    throw new Error(`no response within ${ms / SECOND} seconds`);
  });
  return Promise.race([promise, timeout]).finally(() => stop.abort());
}

/** Counts the milliseconds that this machine is awake: no wait ends because a laptop slept. Ticks once a second. */
export class AwakeClock {
  #before = 0;
  #tickedAt = Date.now();

  tick(): void {
    this.#before = this.now();
    this.#tickedAt = Date.now();
  }

  now(): number {
    return this.#before + Math.min(Date.now() - this.#tickedAt, 5 * SECOND);
  }
}
