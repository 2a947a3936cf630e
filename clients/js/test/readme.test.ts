// The examples of README.md run as they are written.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { build } from "esbuild";
import { WebSocket as NodeWebSocket } from "ws";
import { connect } from "../src/index.js";
import { Stack, type Tenant } from "./support/stack.js";

const folder = "../../target/clients/readme";
let stack: Stack;
let tenant: Tenant;
before(async () => {
  stack = await Stack.start();
  tenant = await stack.tenant();
  await mkdir(folder, { recursive: true });
});
after(() => stack.stop());

/** The code below `<!-- test: name -->`, with the addresses and the key of the stack. */
async function example(name: string): Promise<string> {
  const readme = await readFile("README.md", "utf8");
  const code = readme.split(`<!-- test: ${name} -->`)[1]?.match(/```ts\n(.*?)```/s)?.[1];
  assert.ok(code, `README.md has ${name}`);
  const local = code.replaceAll("http://localhost:8000", stack.restUrl).replaceAll("your-tenant-api-key", tenant.key);
  const source = `${folder}/${name}`;
  await writeFile(source, local);
  const outfile = source.replace(/ts$/, "mjs");
  const src = (file: string) => `${process.cwd()}/src/${file}.ts`;
  await build({
    entryPoints: [source],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    alias: {
      "chat-api-client": src("index"),
      "chat-api-client/server": src("server"),
      "chat-api-client/smooth": src("smooth"),
    },
    nodePaths: [`${process.cwd()}/node_modules`],
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    logLevel: "warning",
  });
  return outfile;
}

/** Node 20 hides its WebSocket behind this flag, which later versions accept too. */
const flags = process.versions.node.startsWith("20.") ? ["--experimental-websocket"] : [];

async function output(file: string): Promise<string> {
  const child = spawn(process.execPath, [...flags, file], { stdio: ["ignore", "pipe", "inherit"] });
  let all = "";
  child.stdout.on("data", (data) => (all += data));
  const code = await new Promise((resolve) => child.once("exit", resolve));
  assert.equal(code, 0);
  return all;
}

test("the example for servers prints an answer, here and in the README of the project", async () => {
  const code = /test: start.ts -->\n\n(```ts\n.*?```)/s.exec(await readFile("README.md", "utf8"))?.[1];
  assert.ok((await readFile("../../README.md", "utf8")).includes(code!));
  assert.equal(await output(await example("start.ts")), "You said: Hello, I need help with my account");
});

test("the example of an even flow prints an answer", async () => {
  assert.equal(await output(await example("smooth.ts")), "You said: Hello");
});

test("the example of the history prints the newest chat", async () => {
  const { chat_id } = await tenant.api.createChat({ user_id: "user123" });
  const chat = connect(() => tenant.api.createTicket(chat_id), { WebSocket: NodeWebSocket });
  await chat.send("Hi").ended;
  chat.close();
  assert.equal(await output(await example("history.ts")), "0 user Hi\n1 assistant You said: Hi\n");
});

test("the page streams an answer with a ticket of the Express backend", async () => {
  const port = await freePort();
  const env = { ...process.env, CHAT_API_KEY: tenant.key, PORT: String(port) };
  const backend = spawn(process.execPath, [await example("backend.ts")], { stdio: "inherit", env });
  const origin = `http://127.0.0.1:${port}`;
  try {
    await reachable(origin);
    const missing = await fetch(`${origin}/api/chats/chat_00000000000000000000000000/tickets`, { method: "POST" });
    assert.equal(missing.status, 404);
    assert.equal(((await missing.json()) as { error: { code: string } }).error.code, "CHAT_NOT_FOUND");

    // What a browser has: an address of its own, addresses without an origin, and a body to append to.
    const page = await example("page.ts");
    const browser = `
      globalThis.location = { href: "${origin}/" };
      const send = globalThis.fetch;
      globalThis.fetch = (url, init) => send(new URL(url, "${origin}"), init);
      globalThis.document = { body: { append: (text) => process.stdout.write(text) }, addEventListener() {}, removeEventListener() {} };
    `;
    await writeFile(page, `${browser}${await readFile(page, "utf8")}\nchat.close();\n`);
    assert.equal(await output(page), "You said: Hello, I need help with my account");
  } finally {
    backend.kill();
  }
});

test("the Lambda function creates tickets for the user of the chat alone", async () => {
  process.env.CHAT_API_URL = stack.restUrl;
  process.env.CHAT_API_KEY = tenant.key;
  const { handler } = await import(`${process.cwd()}/${await example("lambda.ts")}`);
  const { chat_id: chatId } = await tenant.api.createChat({ user_id: "u" });
  const call = (id: string, sub: string) =>
    handler({ pathParameters: { chatId: id }, requestContext: { authorizer: { jwt: { claims: { sub } } } } });
  const created = await call(chatId, "u");
  assert.equal(created.statusCode, 201);
  assert.match(JSON.parse(created.body).url, /ticket=/);
  assert.equal((await call(chatId, "someone else")).statusCode, 403);
  assert.equal((await call("chat_00000000000000000000000000", "u")).statusCode, 404);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function reachable(origin: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const response = await fetch(origin).catch(() => undefined);
    if (response) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${origin} does not respond`);
}
