// Vercel's AI SDK with this transport, in a real browser.
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { after, before, test } from "node:test";
import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";
import type { Message } from "../src/server.js";
import { launch } from "./support/browser.js";
import { Stack, type Tenant } from "./support/stack.js";

const words = (count: number) => Array.from({ length: count }, (_, n) => `word${n}`).join(" ");

let stack: Stack;
let tenant: Tenant;
let browser: Browser;
let server: Server;
let origin: string;
before(async () => {
  stack = await Stack.start();
  tenant = await stack.tenant();
  browser = await launch();
  const { outputFiles } = await build({
    entryPoints: ["test/pages/use_chat.tsx"],
    bundle: true,
    format: "esm",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"development"' },
    write: false,
    logLevel: "warning",
  });
  server = serve(outputFiles[0]!.text);
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  origin = `http://127.0.0.1:${port}`;
});
after(async () => {
  await browser?.close();
  server?.close();
  server?.closeAllConnections();
  await stack?.stop();
});

/** The backend of an app: the page, its tickets, its messages. */
function serve(script: string): Server {
  const html = '<!doctype html><div id="root"></div><script type="module" src="/page.js"></script>';
  return createServer(async ({ url = "" }, response) => {
    const [, resource, id = ""] = url.split("/");
    const json = (value: unknown) => response.setHeader("Content-Type", "application/json").end(JSON.stringify(value));
    try {
      if (resource === "tickets") json(await tenant.api.createTicket(id));
      else if (resource === "messages") json(await tenant.api.listMessages(id));
      else if (resource === "page.js") response.setHeader("Content-Type", "text/javascript").end(script);
      else response.setHeader("Content-Type", "text/html").end(html);
    } catch (error) {
      response.statusCode = (error as { status?: number }).status ?? 502;
      response.end();
    }
  }).listen(0, "127.0.0.1");
}

async function newChat(model = "echo@20"): Promise<string> {
  return (await tenant.api.createChat({ user_id: "u", config: { model } })).chat_id;
}

async function open(chatId: string): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => assert.fail(error));
  await page.goto(`${origin}/#${chatId}`);
  await until(page, "ready");
  return page;
}

async function send(page: Page, text: string): Promise<void> {
  await page.getByLabel("Message").fill(text);
  await page.keyboard.press("Enter");
}

function until(page: Page, status: string): Promise<void> {
  return page.locator("#status", { hasText: new RegExp(`^${status}$`) }).waitFor();
}

function texts(page: Page): Promise<string[]> {
  return page.locator("li").allInnerTexts();
}

/** Waits until the answer with this index is in its middle. */
async function untilMiddle(page: Page, index = 1): Promise<void> {
  await page.waitForFunction((index) => (document.querySelectorAll("li")[index]?.textContent ?? "").length > 30, index);
}

test("an answer streams", async () => {
  const page = await open(await newChat());
  await send(page, "Hello there");
  await until(page, "streaming");
  await until(page, "ready");
  assert.deepEqual(await texts(page), ["Hello there", "You said: Hello there"]);
});

test("stop ends the answer on the server too, and regenerate replaces it", async () => {
  const chatId = await newChat();
  const page = await open(chatId);
  await send(page, words(200));
  await untilMiddle(page);
  await page.getByRole("button", { name: "Stop" }).click();
  await until(page, "ready");
  const { message_id } = await assertCancelled(chatId, 1);
  await page.getByRole("button", { name: "Regenerate" }).click();
  await until(page, "ready");
  assert.equal((await texts(page))[1], `You said: ${words(200)}`);
  assert.notEqual((await tenant.api.listMessages(chatId)).messages[1]!.message_id, message_id);
});

test("an answer is regenerated after a regeneration was stopped", async () => {
  const chatId = await newChat();
  const page = await open(chatId);
  await send(page, words(30));
  await until(page, "streaming");
  await until(page, "ready");
  await page.getByRole("button", { name: "Regenerate" }).click();
  await untilMiddle(page);
  await page.getByRole("button", { name: "Stop" }).click();
  await until(page, "ready");
  await page.getByRole("button", { name: "Regenerate" }).click();
  await page.waitForFunction(
    (whole) => document.querySelectorAll("li")[1]?.textContent === whole,
    `You said: ${words(30)}`,
  );
  await until(page, "ready");
  assert.equal(await page.locator("#error").innerText(), "");
});

test("a page that is reloaded in mid-answer goes on, and can stop it", async () => {
  const chatId = await newChat();
  const page = await open(chatId);
  await send(page, words(60));
  await untilMiddle(page);
  await page.reload();
  await until(page, "streaming");
  await until(page, "ready");
  assert.deepEqual(await texts(page), [words(60), `You said: ${words(60)}`]);

  await send(page, words(300));
  await untilMiddle(page, 3);
  await page.reload();
  await until(page, "streaming");
  await page.getByRole("button", { name: "Stop" }).click();
  await until(page, "ready");
  await assertCancelled(chatId, 3);
});

test("a second tab shows the answer that streams", async () => {
  const chatId = await newChat();
  const one = await open(chatId);
  await send(one, words(60));
  await untilMiddle(one);
  const two = await one.context().newPage();
  await two.goto(one.url());
  await until(two, "streaming");
  await Promise.all([until(one, "ready"), until(two, "ready")]);
  assert.deepEqual(await texts(two), await texts(one));
  assert.equal((await texts(two))[1], `You said: ${words(60)}`);
});

test("an error reaches the page", async () => {
  const chatId = await newChat();
  const page = await open(chatId);
  await send(page, "x".repeat(30_000));
  await until(page, "error");
  assert.match(await page.locator("#error").innerText(), /too large/);
});

async function assertCancelled(chatId: string, seq: number): Promise<Message> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const message = (await tenant.api.listMessages(chatId)).messages[seq];
    if (message?.status === "cancelled") return message;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail("the answer is not cancelled");
}
