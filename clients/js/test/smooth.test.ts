// The even flow of text, on paused time.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { smooth } from "../src/smooth.js";
import { sleep } from "../src/timing.js";
import { flush } from "./support/fake_server.js";

beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"] }));
afterEach(() => mock.timers.reset());

const FRAME = "ten 👩‍👩‍👧 chars";

/** Frames a tenth of a second apart, as the server sends them. */
async function* frames(count: number, error?: Error): AsyncGenerator<string> {
  for (let n = 0; n < count; n += 1) {
    yield FRAME;
    await sleep(100);
  }
  if (error) throw error;
}

/** The parts, with the times at which they are shown. */
async function shown(parts: AsyncIterable<string>): Promise<[number, string][]> {
  const all: [number, string][] = [];
  let done = false;
  const reading = (async () => {
    for await (const part of parts) all.push([Date.now(), part]);
  })().finally(() => (done = true));
  reading.catch(() => {});
  while (!done) {
    mock.timers.tick(4);
    await flush();
  }
  await reading;
  return all;
}

test("frames become small parts, without gaps", async () => {
  const all = await shown(smooth(frames(20)));
  assert.equal(all.map(([, part]) => part).join(""), FRAME.repeat(20));
  const steady = all.filter(([at]) => at > 300 && at < 1800);
  assert.ok(steady.length > 75, `${steady.length} parts in 1.5 s`);
  assert.ok(
    steady.every(([, part]) => part.length < FRAME.length),
    "no part is a whole frame",
  );
});

test("the last text is shown soon after the end", async () => {
  const all = await shown(smooth(frames(3)));
  assert.ok(all.at(-1)![0] < 3 * 100 + 400, `${all.at(-1)![0]} ms`);
});

test("an emoji of several code points stays whole", async () => {
  const all = await shown(smooth(frames(2)));
  assert.equal(all.filter(([, part]) => part.includes("👩‍👩‍👧")).length, 2);
});

test("a failure follows the whole text", async () => {
  const parts: string[] = [];
  const collect = async function* () {
    for await (const part of smooth(frames(2, new Error("it failed")))) {
      parts.push(part);
      yield part;
    }
  };
  await assert.rejects(shown(collect()), /it failed/);
  assert.equal(parts.join(""), FRAME.repeat(2));
});

test("a page that was hidden catches up at once", async () => {
  const stream = smooth(frames(1));
  const first = stream.next();
  await flush();
  mock.timers.tick(60_000);
  assert.equal((await first).value, FRAME);
});
