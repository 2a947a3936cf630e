// The client on the local stack, also through a network that breaks.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { type Answer, type Chat, type ChatEvents, ChatError, type ChatOptions, connect } from "../src/index.js";
import { CuttingProxy, type Fate } from "./support/cutting_proxy.js";
import { Stack, type Tenant } from "./support/stack.js";

const options: ChatOptions = { WebSocket };
const text = (count: number) => Array.from({ length: count }, (_, n) => `${n} wörd 東京 👩‍👩‍👧`).join(" ");

let stack: Stack;
before(async () => {
  stack = await Stack.start();
});
after(() => stack.stop());

/** Connects with tickets, directly or through a proxy. */
async function open(tenant: Tenant, proxy?: CuttingProxy, model = "echo@200"): Promise<{ chat: Chat; chatId: string }> {
  const { chat_id } = await tenant.api.createChat({ user_id: "u", config: { model } });
  const chat = connect(async () => {
    const { url } = await tenant.api.createTicket(chat_id);
    return proxy ? proxy.through(url) : url;
  }, options);
  return { chat, chatId: chat_id };
}

/** All parts of an answer, joined. */
async function joined(answer: Answer): Promise<string> {
  let all = "";
  for await (const part of answer) all += part;
  return all;
}

test("an answer streams, and is stored", async () => {
  const tenant = await stack.tenant();
  const { chat, chatId } = await open(tenant);
  const answer = chat.send(text(20));
  assert.equal(await joined(answer), `You said: ${text(20)}`);
  assert.equal(await joined(answer), answer.text, "a second iteration starts at the beginning");
  const { finishReason, usage } = await answer.ended;
  assert.equal(finishReason, "stop");
  assert.ok(usage!.output_tokens > 0);
  const { messages } = await tenant.api.listMessages(chatId);
  assert.deepEqual(
    messages.map(({ message_id, content }) => [message_id, content]),
    [
      [(await answer.received)?.message_id, text(20)],
      [answer.messageId, answer.text],
    ],
  );
  chat.close();
});

test("an answer is cancelled and regenerated", async () => {
  const { chat } = await open(await stack.tenant(), undefined, "echo@20");
  const first = chat.send(text(100));
  for await (const _ of first) break;
  first.cancel();
  assert.equal((await first.ended).finishReason, "cancelled");
  const second = chat.regenerate(first.messageId!);
  for await (const _ of second) break;
  assert.equal(second.replaces, first.messageId);
  const abort = new AbortController();
  const third = chat.send(text(100), { signal: abort.signal });
  await third.received;
  abort.abort();
  second.cancel();
  assert.equal((await third.ended).finishReason, "cancelled");
  chat.close();
});

test("another socket of the user sees message and answer, also in mid-answer", async () => {
  const tenant = await stack.tenant();
  const { chat, chatId } = await open(tenant, undefined, "echo@50");
  const answer = chat.send(text(30));
  for await (const _ of answer) break;
  const other = connect(() => tenant.api.createTicket(chatId), options);
  const seen = await new Promise<Answer>((resolve) => other.on("answer", resolve));
  assert.equal(seen.messageId, answer.messageId, "it has its id as soon as it is announced");
  assert.equal(await joined(seen), await joined(answer));
  const events: Promise<ChatEvents["message"]>[] = [chat, other].map(
    (chat) => new Promise((resolve) => chat.on("message", resolve)),
  );
  const own = chat.send("Hello");
  const [here, there] = await Promise.all(events);
  assert.deepEqual([here!.answer, there!.answer], [own, undefined], "a page knows which message is its own");
  assert.equal(there!.message.content, "Hello");
  chat.close();
  other.close();
});

test("a key works on a server, and a wrong one fails with a reason", async () => {
  const tenant = await stack.tenant();
  const { chat_id: chatId } = await tenant.api.createChat({ user_id: "u" });
  const source = { url: stack.websocketUrl, key: tenant.key, userId: "u", chatId };
  const chat = connect(source, options);
  assert.equal((await chat.send("Hello").ended).text, "You said: Hello");
  chat.close();

  const wrong = connect({ ...source, key: "ck_live_wrong" }, options);
  await assert.rejects(wrong.send("Hello").ended, { code: "CONNECTION_FAILED", status: 401, message: /401/ });
  assert.equal(wrong.state, "closed");
});

test("errors of the server reach the caller", async () => {
  const tenant = await stack.tenant();
  await assert.rejects(tenant.api.getChat("chat_00000000000000000000000000"), (error: ChatError) => {
    assert.deepEqual([error.code, error.status, error.retryable], ["CHAT_NOT_FOUND", 404, false]);
    assert.ok(error.suggestion && error.requestId);
    return true;
  });
  const { chat, chatId } = await open(tenant);
  await assert.rejects(chat.send("x".repeat(28_000)).ended, { code: "MESSAGE_TOO_LARGE" }, "by the server");
  // The socket would be closed without a word.
  await assert.rejects(chat.send("x".repeat(40_000)).ended, { code: "MESSAGE_TOO_LARGE" }, "before it is sent");
  assert.equal((await chat.send("Hello").ended).finishReason, "stop", "the chat goes on");
  await assert.rejects(chat.regenerate("msg_00000000000000000000000000").ended, { code: "MESSAGE_NOT_FOUND" });
  const running = chat.send(text(500));
  await running.received;
  await tenant.api.deleteChat(chatId);
  await assert.rejects(running.ended, { code: "CHAT_NOT_FOUND" });
  assert.equal(chat.state, "closed");
  await assert.rejects(chat.send("Hello").ended, { code: "CLOSED" });
});

test("a message waits until the tenant may send it", async () => {
  const { chat } = await open(await stack.tenant({ generations: 1 }), undefined, "echo@20");
  const retry = new Promise((resolve) => chat.on("retry", ({ error }) => resolve(error.code)));
  const [first, second] = [chat.send(text(15)), chat.send("second")];
  assert.equal(await retry, "GENERATION_LIMIT_EXCEEDED");
  assert.equal((await second.ended).text, "You said: second");
  assert.ok(first.hasEnded);
  chat.close();
});

test("twenty-five chats survive a thousand cuts", { timeout: 300_000 }, async () => {
  const CUTS = Number(process.env.CUTS ?? 1000);
  const tenant = await stack.tenant({ "connections-per-chat": 50, connections: 1000 });
  // Handshake and first event have about 500 bytes: some connections break before that.
  const fate = (): Fate => ({ afterBytes: 300 + Math.floor(Math.random() * 3000), fault: "cut" });
  const proxy = await CuttingProxy.start(stack.restUrl, () => (proxy.cuts < CUTS ? fate() : undefined));
  await Promise.all(
    Array.from({ length: 25 }, async () => {
      const { chat, chatId } = await open(tenant, proxy, "echo@400");
      let sent = 0;
      for (; proxy.cuts < CUTS; sent += 1) {
        const content = `${sent} ${text(60)}`;
        const answer = chat.send(content);
        assert.equal(await joined(answer), `You said: ${content}`);
        assert.equal((await answer.ended).text, answer.text);
      }
      const { total, messages } = await tenant.api.listMessages(chatId, { limit: 200 });
      assert.equal(total, 2 * sent, "each message is stored and answered once");
      assert.ok(messages.every((message) => message.status === "complete"));
      chat.close();
    }),
  );
  await proxy.stop();
});

test("twenty chats survive stalls and delays", { timeout: 180_000 }, async () => {
  const CHATS = 20;
  const tenant = await stack.tenant();
  let connections = 0;
  const proxy = await CuttingProxy.start(stack.restUrl, () => {
    connections += 1;
    const isFirst = connections <= CHATS;
    const afterBytes = isFirst ? 300 + Math.floor(Math.random() * 3000) : Infinity;
    return { afterBytes, fault: "stall", delayMs: 60 };
  });
  await Promise.all(
    Array.from({ length: CHATS }, async (_, number) => {
      const { chat, chatId } = await open(tenant, proxy, "echo@400");
      const content = `${number} ${text(60)}`;
      assert.equal(await joined(chat.send(content)), `You said: ${content}`);
      assert.equal((await tenant.api.listMessages(chatId)).total, 2);
      chat.close();
    }),
  );
  assert.ok(proxy.cuts > CHATS / 2, `${proxy.cuts} connections stalled`);
  await proxy.stop();
});
