// The rules of the protocol, on paused time with sockets that the test answers.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Answer, ChatError, type ChatOptions, connect, type Source } from "../src/index.js";
import { FakeServer, type FakeSocket, flush } from "./support/fake_server.js";

/** Runs a test with an open chat. */
function chatTest(
  name: string,
  run: (server: FakeServer, socket: FakeSocket) => Promise<void>,
  options?: ChatOptions,
  source?: Source,
): void {
  test(name, async () => {
    const server = new FakeServer(options, source);
    try {
      await flush();
      await run(server, await server.open());
    } finally {
      server.end();
    }
  });
}

/** Sends a message that is answered up to the text `so far`. */
async function streaming(server: FakeServer, socket: FakeSocket): Promise<Answer> {
  const answer = server.chat.send("Hello", { clientMessageId: "c1" });
  socket.received("c1", "m1", 0);
  socket.started("a1", 1, "m1");
  socket.token("a1", 0, "so far");
  await flush();
  assert.equal(answer.text, "so far");
  return answer;
}

chatTest("messages are sent one after the other", async ({ chat }, socket) => {
  chat.send("one", { clientMessageId: "c1" });
  chat.send("two");
  assert.deepEqual(socket.sent, ["message one"]);
  socket.received("c1", "m1", 0);
  assert.deepEqual(socket.sent, ["message one", "message two"]);
});

chatTest("a message without acknowledgement is sent again, then by another socket", async (server, socket) => {
  const answer = server.chat.send("Hello", { clientMessageId: "c1" });
  await server.elapse(11_000);
  assert.deepEqual(socket.sent, ["message Hello", "message Hello"]);
  await server.elapse(11_000);
  assert.ok(socket.isClosed);
  const next = await server.open(2);
  assert.deepEqual(next.frames, [socket.frames[0]], "with the same client_message_id");
  next.received("c1", "m1", 0);
  assert.equal((await answer.received)?.message_id, "m1");
});

chatTest("an answer that ended while the connection was lost is fetched", async (server, socket) => {
  const answer = server.chat.send("Hello", { clientMessageId: "c1" });
  socket.close();
  const next = await server.open(2);
  next.received("c1", "m1", 0, { answer_id: "a1" });
  assert.deepEqual(next.sent, ["message Hello", "resume a1 0"]);
  next.started("a1", 1, "m1");
  next.token("a1", 0, "Hi");
  next.ended("a1", "Hi");
  assert.equal((await answer.ended).text, "Hi");
  assert.deepEqual([answer.messageId, answer.inReplyTo, answer.seq], ["a1", "m1", 1]);
});

chatTest("an answer that ended after the acknowledgement is fetched", async (server, socket) => {
  const answer = server.chat.send("Hello", { clientMessageId: "c1" });
  socket.received("c1", "m1", 0);
  socket.close();
  const next = await server.open(2);
  assert.deepEqual(next.sent, ["message Hello"], "its acknowledgement names the answer");
  next.received("c1", "m1", 0, { answer_id: "a1" });
  next.ended("a1", "Hi");
  assert.equal((await answer.ended).text, "Hi");
});

chatTest("an answer that streams on is not taken for that of another socket", async (server, socket) => {
  const answers: Answer[] = [];
  server.chat.on("answer", (answer) => answers.push(answer));
  const answer = server.chat.send("Hello", { clientMessageId: "c1" });
  socket.close();
  const next = await server.open(2, [{ message_id: "a1", seq: 1, in_reply_to: "m1" }]);
  next.started("a1", 1, "m1");
  next.received("c1", "m1", 0, { answer_id: "a1" });
  assert.deepEqual(next.sent, ["message Hello", "resume a1 0"]);
  assert.deepEqual(answers, [answer]);
  assert.equal(answer.messageId, "a1");
});

chatTest("an answer of another socket is joined", async (server, socket) => {
  const answers: Answer[] = [];
  server.chat.on("answer", (answer) => answers.push(answer));
  socket.close();
  const next = await server.open(2, [{ message_id: "a9", seq: 3, in_reply_to: "m8" }]);
  assert.deepEqual(next.sent, ["resume a9 0"]);
  next.started("a9", 3, "m8");
  next.token("a9", 0, "Hi");
  next.ended("a9", "Hi there");
  assert.deepEqual(
    answers.map((answer) => answer.text),
    ["Hi there"],
  );
});

chatTest("an answer goes on where it broke off", async (server, socket) => {
  const answer = await streaming(server, socket);
  socket.close();
  const next = await server.open(2, [{ message_id: "a1", seq: 1, in_reply_to: "m1" }]);
  assert.deepEqual(next.sent, ["resume a1 6"]);
  next.token("a1", 6, ", so good");
  socket.token("a1", 6, "from a socket that is closed");
  next.ended("a1", "so far, so good");
  assert.equal((await answer.ended).text, "so far, so good");
});

chatTest("a part that comes again, and longer, adds what is new", async (server, socket) => {
  const answer = server.chat.send("Hello", { clientMessageId: "c1" });
  socket.received("c1", "m1", 0);
  socket.started("a1", 1, "m1");
  socket.token("a1", 0, "wö東");
  socket.token("a1", 1, "ö東👩");
  socket.token("a1", 0, "wö");
  assert.equal(answer.text, "wö東👩");
  socket.token("a1", 30, "later");
  assert.equal(answer.text, "wö東👩");
  assert.equal(socket.sent.at(-1), "resume a1 10", "a part is missing");
});

chatTest("an answer too large for its last event is the joined parts", async (server, socket) => {
  const answer = await streaming(server, socket);
  socket.ended("a1", undefined);
  assert.equal((await answer.ended).text, "so far");
});

chatTest("an answer that fails throws after its text", async (server, socket) => {
  const answer = await streaming(server, socket);
  socket.error("AGENT_TIMEOUT", {}, { message_id: "a1" });
  socket.ended("a1", "so far", "error");
  const parts: string[] = [];
  await assert.rejects(
    async () => {
      for await (const part of answer) parts.push(part);
    },
    { code: "AGENT_TIMEOUT", retryable: true },
  );
  assert.deepEqual(parts, ["so far"]);
});

chatTest("a silent stream is asked for, then its socket replaced", async (server, socket) => {
  await streaming(server, socket);
  await server.elapse(21_000);
  assert.equal(socket.sent.at(-1), "resume a1 6");
  await server.elapse(16_000);
  assert.deepEqual(socket.sent.slice(1), ["resume a1 6", "resume a1 6", "resume a1 6"]);
  assert.ok(socket.isClosed);
});

chatTest("an answer that never goes on fails", async (server, socket) => {
  const answer = await streaming(server, socket);
  const end = assert.rejects(answer.ended, { code: "NO_RESPONSE", retryable: true });
  await server.elapse(121_000);
  await end;
});

chatTest(
  "a message that is never acknowledged fails",
  async (server) => {
    const end = assert.rejects(server.chat.send("Hello").received, { code: "NO_RESPONSE", retryable: true });
    await server.elapse(9000);
    await end;
  },
  { messageTimeoutMs: 8000 },
);

chatTest("a message whose answer never starts is sent again, then fails", async (server, socket) => {
  const answer = server.chat.send("Hello", { clientMessageId: "c1" });
  const end = assert.rejects(answer.ended, { code: "NO_RESPONSE", message: /does not start/ });
  for (let minute = 0; minute < 5 && !answer.hasEnded; minute += 1) {
    for (let turn = 0; turn < 3; turn += 1) {
      if (!server.socket.isClosed) server.socket.received("c1", "m1", 0);
      await server.elapse(21_000);
    }
  }
  assert.ok(socket.sent.length > 2, socket.sent.join());
  await end;
  assert.equal((await answer.received)?.message_id, "m1");
});

test("events right behind the first one are not lost", async () => {
  const server = new FakeServer();
  const types: string[] = [];
  server.chat.on("event", ({ type }) => types.push(type));
  await flush();
  server.socket.establish();
  server.socket.event({ type: "user_created", user_id: "u" });
  await flush();
  assert.deepEqual(types, ["connection_established", "user_created"]);
  server.end();
});

chatTest("a message waits for a limit that passes", async (server, socket) => {
  const retries: number[] = [];
  server.chat.on("retry", ({ inMs }) => retries.push(inMs));
  server.chat.send("Hello", { clientMessageId: "c1" });
  socket.error("MESSAGE_RATE_EXCEEDED", { retry_after_seconds: 3 });
  await server.elapse(2500);
  assert.equal(socket.sent.length, 1);
  await server.elapse(1500);
  assert.deepEqual(socket.frames[1], socket.frames[0]);
  assert.deepEqual(retries, [3000]);
});

chatTest("a message is refused for a limit that lasts, and the next one sent", async (server, socket) => {
  const answer = server.chat.send("Hello");
  server.chat.send("next");
  socket.error("QUOTA_EXCEEDED", { retry_after_seconds: 3600, period: "day" });
  await assert.rejects(answer.received, { code: "QUOTA_EXCEEDED" });
  await assert.rejects(answer.ended, {
    details: { suggestion: "Wait.", retryable: true, retry_after_seconds: 3600, period: "day" },
  });
  assert.deepEqual(socket.sent, ["message Hello", "message next"]);
});

chatTest("a replay that is refused is asked for later", async (server, socket) => {
  const answer = await streaming(server, socket);
  socket.close();
  const next = await server.open(2);
  next.error("RATE_LIMIT_EXCEEDED", { retry_after_seconds: 1, message_id: "a1" });
  await server.elapse(2500);
  assert.deepEqual(next.sent, ["resume a1 6", "resume a1 6"]);
  next.error("MESSAGE_NOT_FOUND", { message_id: "a1", retryable: false });
  await assert.rejects(answer.ended, { code: "MESSAGE_NOT_FOUND" });
});

chatTest("a regeneration is found again by another socket", async (server, socket) => {
  const answer = server.chat.regenerate("a1");
  socket.close();
  const next = await server.open(2, [{ message_id: "a2", seq: 1, in_reply_to: "m1", replaces: "a1" }]);
  assert.deepEqual(next.sent, ["resume a2 0"]);
  next.started("a2", 1, "m1", { replaces: "a1" });
  next.ended("a2", "Hi");
  assert.equal((await answer.ended).text, "Hi");
  assert.equal(answer.replaces, "a1");
  assert.equal(await answer.received, undefined);
});

chatTest("a regeneration that did not arrive is sent again", async (server, socket) => {
  const answer = server.chat.regenerate("a1");
  socket.close();
  const next = await server.open(2);
  assert.deepEqual(next.sent, ["regenerate a1"]);
  next.error("MESSAGE_NOT_FOUND", { message_id: "a1", retryable: false });
  await assert.rejects(answer.ended, { code: "MESSAGE_NOT_FOUND" });
});

chatTest("a regeneration is not taken for one of another socket", async (server, socket) => {
  const answers: Answer[] = [];
  const answer = server.chat.regenerate("a1");
  server.chat.on("answer", (other) => answers.push(other));
  socket.started("a8", 7, "m6");
  socket.started("a2", 1, "m1", { replaces: "a1" });
  assert.equal(answer.messageId, "a2");
  socket.token("a8", 0, "another");
  assert.deepEqual(
    answers.map((other) => [other.messageId, other.text]),
    [["a8", "another"]],
  );
});

chatTest("cancel is sent once the answer has an id, and again by another socket", async (server, socket) => {
  const answer = server.chat.send("Hello", { clientMessageId: "c1" });
  answer.cancel();
  assert.deepEqual(socket.sent, ["message Hello"]);
  socket.received("c1", "m1", 0);
  socket.started("a1", 1, "m1");
  assert.equal(socket.sent.at(-1), "cancel a1");
  socket.close();
  const next = await server.open(2);
  assert.deepEqual(next.sent, ["resume a1 0", "cancel a1"]);
  next.ended("a1", "so", "cancelled");
  assert.deepEqual([(await answer.ended).finishReason, answer.text], ["cancelled", "so"]);
});

chatTest("an error about an answer that has ended is not about the message on its way", async (server, socket) => {
  await streaming(server, socket);
  socket.ended("a1", "so far");
  const next = server.chat.send("next");
  socket.error("MESSAGE_NOT_FOUND", { message_id: "a1", retryable: false });
  await flush();
  assert.ok(!next.hasEnded);
});

chatTest("a message that waits for a limit is not sent once it is cancelled", async (server, socket) => {
  const answer = server.chat.send("Hello");
  server.chat.send("next");
  socket.error("MESSAGE_RATE_EXCEEDED", { retry_after_seconds: 3 });
  answer.cancel();
  assert.equal((await answer.ended).finishReason, "cancelled");
  await server.elapse(5000);
  assert.deepEqual(socket.sent, ["message Hello", "message next"]);
});

chatTest("a message that is cancelled before its refusal is not sent again", async (server, socket) => {
  const answer = server.chat.send("Hello");
  answer.cancel();
  socket.error("GENERATION_IN_PROGRESS");
  assert.equal((await answer.ended).finishReason, "cancelled");
  await server.elapse(15_000);
  assert.deepEqual(socket.sent, ["message Hello"]);
});

chatTest("answers of other sockets are shown while a message waits for a limit", async (server, socket) => {
  const answers: Answer[] = [];
  server.chat.send("Hello");
  server.chat.on("answer", (answer) => answers.push(answer));
  socket.error("GENERATION_IN_PROGRESS");
  socket.started("a9", 3, "m8");
  assert.deepEqual(
    answers.map((answer) => answer.messageId),
    ["a9"],
  );
});

chatTest("the same message twice has one answer", async (server, socket) => {
  const [one, two] = ["Hello", "Hello"].map((text) => server.chat.send(text, { clientMessageId: "c1" }));
  assert.equal(one, two);
  assert.deepEqual(socket.sent, ["message Hello"]);
  socket.received("c1", "m1", 0);
  socket.started("a1", 1, "m1");
  socket.ended("a1", "Hi");
  await flush();
  const again = server.chat.send("Hello", { clientMessageId: "c1" });
  socket.received("c1", "m1", 0, { answer_id: "a1" });
  assert.equal(socket.sent.at(-1), "resume a1 0");
  socket.started("a1", 1, "m1");
  socket.token("a1", 0, "Hi");
  socket.ended("a1", "Hi");
  assert.equal((await again.ended).text, "Hi");
});

test("a clock that is hours ahead opens no sockets", async () => {
  const server = new FakeServer();
  await flush();
  const [now, hours] = [Date.now(), 60 * 60 * 1000];
  const [timestamp, expires_at] = [now - 3 * hours, now - hours].map((time) => new Date(time).toISOString());
  const established = { connection_id: "c", user_id: "u", active_streams: [], timestamp, expires_at };
  server.socket.event({ type: "connection_established", ...established });
  await server.elapse(60_000);
  assert.equal(server.sockets.length, 1);
  server.end();
});

chatTest("a message that waits is cancelled without being sent", async ({ chat }, socket) => {
  chat.send("one");
  const two = chat.send("two");
  two.cancel();
  assert.equal((await two.ended).finishReason, "cancelled");
  await assert.rejects(two.received, { code: "CLOSED" });
  assert.deepEqual(socket.sent, ["message one"]);
  const aborted = chat.send("three", { signal: AbortSignal.abort() });
  assert.ok(aborted.hasEnded);
});

chatTest("a quiet socket is pinged, and replaced if nothing comes back", async (server, socket) => {
  await server.elapse(241_000);
  assert.deepEqual(socket.sent, ["ping"]);
  socket.event({ type: "pong" });
  await server.elapse(241_000);
  assert.deepEqual(socket.sent, ["ping", "ping"]);
  await server.elapse(11_000);
  assert.ok(socket.isClosed);
  await server.open(2);
});

test("a socket is replaced before the server ends it, in mid-answer", async () => {
  const server = new FakeServer();
  await flush();
  const states: string[] = [];
  server.chat.on("state", ({ state }) => states.push(state));
  const socket = server.socket;
  socket.establish([], 180_000);
  await flush();
  const answer = await streaming(server, socket);
  for (let second = 0; server.sockets.length < 2; second += 1) {
    assert.ok(second < 121, "two minutes before the end at the latest");
    if (second % 10 === 0) socket.token("a1", answer.offset, ".");
    await server.elapse(1000);
  }
  assert.ok(!socket.isClosed, "the old socket is used until the new one is open");
  const next = await server.open(2, [{ message_id: "a1", seq: 1, in_reply_to: "m1" }]);
  assert.ok(socket.isClosed);
  assert.deepEqual(next.sent, [`resume a1 ${answer.offset}`]);
  next.ended("a1", `${answer.text}!`);
  assert.ok((await answer.ended).text.endsWith(".!"));
  assert.deepEqual(states, ["open"]);
  server.end();
});

chatTest("frames leave slower than the server's limit", async (server, socket) => {
  const answer = await streaming(server, socket);
  for (let n = 0; n < 20; n += 1) answer.cancel();
  assert.equal(socket.frames.length, 8);
  await server.elapse(1000);
  assert.equal(socket.frames.length, 16);
});

for (const code of ["CHAT_NOT_FOUND", "CONNECTION_CLOSING"]) {
  chatTest(`${code} closes the chat for good`, async (server, socket) => {
    const reasons: (string | undefined)[] = [];
    server.chat.on("state", ({ error }) => reasons.push(error?.code));
    const answers = [await streaming(server, socket), server.chat.send("waits")];
    socket.error(code, { retryable: false });
    for (const answer of answers) await assert.rejects(answer.ended, { code });
    assert.ok(socket.isClosed);
    assert.deepEqual([server.chat.state, reasons], ["closed", [code]]);
    await server.elapse(60_000);
    assert.equal(server.sockets.length, 1);
    await assert.rejects(server.chat.send("more").ended, { code: "CLOSED" });
  });
}

chatTest("an unknown event is surfaced, and disturbs nothing", async (server, socket) => {
  const unknown: string[] = [];
  server.chat.on("unknown", ({ type }) => unknown.push(type));
  socket.event({ type: "toString" });
  socket.raw("not JSON");
  socket.event({ type: "reaction_added", emoji: "🎉" });
  assert.deepEqual(unknown, ["toString", "reaction_added"]);
  await streaming(server, socket);
});

chatTest("what a listener stopped hearing does not reach it", async (server, socket) => {
  const types: string[] = [];
  const stop = server.chat.on("event", ({ type }) => types.push(type));
  socket.event({ type: "pong" });
  stop();
  socket.event({ type: "pong" });
  assert.deepEqual(types, ["pong"]);
});

test("a chat that cannot connect gives up, and says why", async () => {
  const server = new FakeServer({ giveUpAfterMs: 20_000 });
  const answer = server.chat.send("Hello");
  const end = assert.rejects(answer.ended, { code: "CONNECTION_FAILED", retryable: true });
  await flush();
  for (let second = 0; second < 30; second += 1) {
    if (server.sockets.length > 0) server.socket.close();
    await server.elapse(1000);
  }
  await end;
  assert.equal(server.chat.state, "closed");
  assert.ok(server.sockets.length > 3, `${server.sockets.length} attempts`);
  server.end();
});

chatTest("a socket that was quiet for minutes is replaced as any other", async (server, socket) => {
  await server.elapse(180_000);
  assert.deepEqual(socket.sent, []);
  socket.close();
  await server.elapse(1000);
  server.socket.close();
  await server.open(3);
  assert.equal(server.chat.state, "open");
});

test("a chat that is closed while it connects reports no error", async () => {
  const server = new FakeServer();
  const reported: string[] = [];
  server.chat.on("state", ({ state, error }) => reported.push(`${state} ${error?.code}`));
  await flush();
  server.chat.close();
  server.socket.close();
  await flush();
  assert.deepEqual(reported, ["closed undefined"]);
  server.end();
});

chatTest("sockets that break at once are opened ever more slowly", async (server, socket) => {
  const errors: (string | undefined)[] = [];
  server.chat.on("state", ({ error }) => error && errors.push(error.code));
  socket.close();
  for (let second = 0; second < 60; second += 1) {
    await server.elapse(1000);
    if (server.socket.isClosed) continue;
    server.socket.establish();
    await flush();
    server.socket.close();
  }
  assert.ok(server.sockets.length < 16, `${server.sockets.length} sockets in a minute`);
  assert.deepEqual(errors, []);
});

test("a failed attempt is reported while others follow", async () => {
  const server = new FakeServer({ giveUpAfterMs: 5000 });
  const reported: string[] = [];
  server.chat.on("state", ({ state, error }) => reported.push(`${state} ${error?.code}`));
  await flush();
  for (let second = 0; second < 6; second += 1) {
    server.socket.close();
    await server.elapse(1000);
  }
  assert.equal(reported[0], "connecting CONNECTION_FAILED");
  assert.equal(reported.at(-1), "closed CONNECTION_FAILED");
  assert.ok(server.sockets.length >= 4, "it tries until the time is over");
  server.end();
});

test("a socket that does not open in time is given up", async () => {
  const server = new FakeServer();
  await flush();
  await server.elapse(16_000);
  assert.ok(server.sockets[0]!.isClosed);
  await server.open(2);
  server.end();
});

const refusals: [string, Source, string][] = [
  [
    "a ticket route that refuses",
    () => Promise.reject(new ChatError("CHAT_NOT_FOUND", "No chat.", "Create it.")),
    "CHAT_NOT_FOUND",
  ],
  ["a ticket without an address", async () => ({}) as { url: string }, "TICKET_FAILED"],
  ["a malformed address", async () => "http:/\\", "CONNECTION_FAILED"],
];
for (const [name, source, code] of refusals) {
  test(`${name} fails at once`, async () => {
    const server = new FakeServer(name.includes("malformed") ? { WebSocket: WebSocketOfUrls } : {}, source);
    await assert.rejects(server.chat.send("Hello").ended, { code });
    server.end();
  });
}

/** Checks its address as browsers do. */
class WebSocketOfUrls {
  constructor(url: string) {
    throw new SyntaxError(`invalid: ${url}`);
  }
  send(): void {}
  close(): void {}
  addEventListener(): void {}
}

test("a ticket route that fails is asked again", async () => {
  let calls = 0;
  const source = async () => {
    calls += 1;
    if (calls < 3) throw new Error("502");
    return "ws://fake";
  };
  const server = new FakeServer({}, source);
  await server.open();
  assert.equal(calls, 3);
  server.end();
});

for (const [what, event] of [
  ["no JSON", "<html>"],
  ["no event", "null"],
  ["another protocol", '{"type":"hello"}'],
]) {
  test(`a server that sends ${what} fails the chat`, async () => {
    const server = new FakeServer();
    const answer = server.chat.send("Hello");
    await flush();
    server.socket.raw(event!);
    await assert.rejects(answer.ended, { code: "BAD_RESPONSE" });
    assert.ok(server.socket.isClosed);
    server.end();
  });
}

chatTest("no wait ends because the machine slept", async (server, socket) => {
  const answer = await streaming(server, socket);
  const { now } = Date;
  const wake = now() + 10 * 60 * 60 * 1000;
  Date.now = () => now() + (wake - now());
  await server.elapse(1000);
  Date.now = now;
  assert.ok(!answer.hasEnded);
});

chatTest("close ends everything at once", async (server, socket) => {
  const answers = [await streaming(server, socket), server.chat.send("waits")];
  server.chat.close();
  for (const answer of answers) await assert.rejects(answer.ended, { code: "CLOSED" });
  assert.ok(socket.isClosed);
});

test("a runtime without WebSocket is told what to do", () => {
  const { WebSocket } = globalThis;
  Object.assign(globalThis, { WebSocket: undefined });
  after(() => Object.assign(globalThis, { WebSocket }));
  assert.throws(() => connect(async () => "ws://fake"), { code: "CONNECTION_FAILED", suggestion: /`ws`/ });
});

chatTest("a message that is sent again waits for the one on its way", async (server, socket) => {
  const first = server.chat.send("one", { clientMessageId: "c1" });
  socket.received("c1", "m1", 0);
  await server.elapse(19_000);
  const second = server.chat.send("two", { clientMessageId: "c2" });
  await server.elapse(3_000);
  socket.error("QUOTA_EXCEEDED", { retryable: false });
  await assert.rejects(second.ended, { code: "QUOTA_EXCEEDED" });
  assert.deepEqual(socket.sent, ["message one", "message two", "message one"]);
  socket.received("c1", "m1", 0, { answer_id: "a1" });
  socket.ended("a1", "Hi");
  assert.equal((await first.ended).text, "Hi");
});

chatTest("a stored message keeps its answer when it is refused again", async (server, socket) => {
  const answer = server.chat.send("Hello", { clientMessageId: "c1" });
  socket.received("c1", "m1", 0);
  socket.close();
  const next = await server.open(2);
  next.error("RATE_LIMIT_EXCEEDED", { retryable: true, retry_after_seconds: 5 });
  next.started("a1", 1, "m1");
  next.token("a1", 0, "Hi");
  await server.elapse(6_000);
  next.received("c1", "m1", 0, { answer_id: "a1" });
  next.ended("a1", "Hi");
  assert.equal((await answer.ended).text, "Hi");
});

chatTest("a message of a page before gets the answer that streams", async (server, socket) => {
  socket.close();
  const next = await server.open(2, [{ message_id: "a1", seq: 1, in_reply_to: "m1" }]);
  next.token("a1", 0, "one ");
  const answer = server.chat.send("Hello", { clientMessageId: "c1" });
  next.received("c1", "m1", 0, { answer_id: "a1" });
  next.token("a1", 4, "two");
  next.ended("a1", "one two");
  assert.equal((await answer.ended).text, "one two");
  assert.equal(answer.messageId, "a1");
});

chatTest("a second acknowledgement is not of another socket", async (server, socket) => {
  const answers: unknown[] = [];
  server.chat.on("message", ({ answer }) => answers.push(answer));
  const answer = server.chat.send("Hello", { clientMessageId: "c1" });
  socket.received("c1", "m1", 0);
  socket.received("c1", "m1", 0);
  await flush();
  assert.deepEqual(answers, [answer]);
});

chatTest("an answer of another socket is reported while a message waits for a limit", async (server, socket) => {
  const answers: Answer[] = [];
  server.chat.on("answer", (answer) => answers.push(answer));
  const own = server.chat.send("Hello");
  socket.started("a9", 3, "m8");
  socket.error("MESSAGE_RATE_EXCEEDED", { retryable: true, retry_after_seconds: 50 });
  await flush();
  assert.deepEqual(
    answers.map((answer) => answer.messageId),
    [own.messageId, "a9"],
  );
});

chatTest("an end without content waits for missing text", async (server, socket) => {
  const answer = await streaming(server, socket);
  socket.token("a1", 10, "later");
  socket.token("a1", 15, "later");
  assert.deepEqual(socket.sent, ["message Hello", "resume a1 6"], "once for both");
  socket.ended("a1", undefined);
  assert.deepEqual(socket.sent.slice(2), ["resume a1 6"]);
  socket.token("a1", 6, " andlaterlater");
  socket.ended("a1", undefined);
  assert.equal((await answer.ended).text, "so far andlaterlater");
});
