// The playground in a real browser, on the local stack. Screenshots are in target/playground.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { launch } from "./support/browser.js";
import { Stack } from "./support/stack.js";

const screenshots = "../../target/playground";
const words = (count: number) => Array.from({ length: count }, (_, n) => `word${n}`).join(" ");

let stack: Stack;
let browser: Browser;
before(async () => {
  stack = await Stack.start();
  // All tests are one tenant.
  await stack.setDemoLimits({ "rest-per-minute": 10_000 });
  mkdirSync(screenshots, { recursive: true });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await stack?.stop();
});

/** The page as its user sees it. */
class Playground {
  readonly errors: string[] = [];

  constructor(readonly page: Page) {
    // What is lost once comes again within half a minute.
    page.setDefaultTimeout(60_000);
    page.on("pageerror", (error) => this.errors.push(error.message));
  }

  static async open(path = "", options: BrowserContextOptions = {}): Promise<Playground> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    const playground = new Playground(await context.newPage());
    await playground.page.goto(`${stack.playgroundUrl}${path}`);
    return playground;
  }

  /** Another tab with the same chat. */
  async tab(): Promise<Playground> {
    const playground = new Playground(await this.page.context().newPage());
    await playground.page.goto(this.page.url());
    return playground;
  }

  get answers() {
    return this.page.locator(".message.assistant:not([hidden])");
  }

  get lastText() {
    return this.answers.last().locator(".body").innerText();
  }

  get notice() {
    return this.page.locator("#notice").innerText();
  }

  async send(text: string): Promise<void> {
    await this.page.getByLabel("Message", { exact: true }).fill(text);
    await this.page.keyboard.press("Enter");
  }

  /** Clicks a button of the open chat in the list. */
  async inList(name: string): Promise<void> {
    const item = this.page.locator("#chat-list li:has([aria-current])");
    await item.hover();
    await item.getByRole("button", { name }).click();
  }

  /** Waits until the last answer is in a state. */
  async until(status: string, count = 1): Promise<void> {
    const isReached = this.page.waitForFunction(
      ([status, count]) => {
        const answers = document.querySelectorAll<HTMLElement>(".message.assistant:not([hidden])");
        return answers.length === count && answers[answers.length - 1]?.dataset.status === status;
      },
      [status, count] as const,
    );
    await isReached.catch(async (cause) => {
      throw new Error(`not ${count} answers, the last ${status}: ${await this.page.locator("body").innerText()}`, {
        cause,
      });
    });
  }

  /** Waits until an answer is in its middle. */
  async untilMiddle(): Promise<void> {
    await this.until("streaming");
    await this.page.waitForFunction(() => document.querySelector(".message.assistant .body")!.textContent!.length > 30);
  }

  async close(): Promise<void> {
    assert.deepEqual(this.errors, []);
    await this.page.context().close();
  }
}

test("an answer streams, and is there after a reload", async () => {
  const playground = await Playground.open();
  await playground.send(words(30));
  await playground.untilMiddle();
  await playground.page.screenshot({ path: `${screenshots}/streaming.png` });
  await playground.until("complete");
  assert.equal(await playground.lastText, `You said: ${words(30)}`);
  await playground.page.reload();
  await playground.until("complete");
  assert.equal(await playground.lastText, `You said: ${words(30)}`);
  assert.match(await playground.page.locator("#title").innerText(), /^word0 word1/);
  await playground.close();
});

test("a reload in mid-answer goes on", async () => {
  const playground = await Playground.open();
  await playground.send(words(60));
  await playground.untilMiddle();
  await playground.page.reload();
  await playground.until("complete");
  assert.equal(await playground.lastText, `You said: ${words(60)}`);
  await playground.close();
});

test("an answer is stopped and regenerated", async () => {
  const playground = await Playground.open();
  await playground.send(words(200));
  await playground.untilMiddle();
  await playground.page.getByRole("button", { name: "Stop" }).click();
  await playground.until("cancelled");
  assert.ok((await playground.lastText).length < words(200).length);
  await playground.page.getByRole("button", { name: "Regenerate the answer" }).click();
  await playground.untilMiddle();
  await playground.page.getByRole("button", { name: "Stop" }).click();
  await playground.until("cancelled");
  await playground.close();
});

test("two tabs see the same", async () => {
  const one = await Playground.open();
  await one.send(words(60));
  await one.untilMiddle();
  const two = await one.tab();
  await two.until("complete");
  await one.until("complete");
  assert.equal(await two.lastText, await one.lastText);
  await two.send("from the second tab");
  await one.until("complete", 2);
  assert.equal(await one.lastText, "You said: from the second tab");
  assert.equal(await one.page.locator(".message.user .body").last().innerText(), "from the second tab");
  await one.close();
});

test("an answer goes on after the network was cut", async () => {
  const playground = await Playground.open();
  await playground.send(words(80));
  await playground.untilMiddle();
  await playground.page.getByRole("switch", { name: "Network" }).uncheck();
  const state = playground.page.locator("#state");
  await state.filter({ hasText: "Reconnecting" }).waitFor();
  const before = await playground.lastText;
  await playground.page.screenshot({ path: `${screenshots}/network-off.png` });
  await playground.page.getByRole("switch", { name: "Network" }).check();
  await playground.until("complete");
  assert.equal(await playground.lastText, `You said: ${words(80)}`);
  assert.ok(before.length < (await playground.lastText).length);
  await state.filter({ hasText: "Connected" }).waitFor();
  await playground.close();
});

test("a killed function interrupts an answer, and the chat goes on", async () => {
  const playground = await Playground.open();
  await playground.send(words(300));
  await playground.untilMiddle();
  process.kill(stack.functions["ws-message"]!, "SIGKILL");
  await playground.page.waitForFunction(
    () => document.querySelector<HTMLElement>(".message.assistant")?.dataset.status === "failed",
  );
  await playground.send("Are you there?");
  await playground.until("complete", 2);
  assert.equal(await playground.lastText, "You said: Are you there?");
  await playground.close();
});

test("a deleted chat closes in other tabs, and tells why", async () => {
  const one = await Playground.open();
  await one.send("Hello");
  await one.until("complete");
  const two = await one.tab();
  await two.until("complete");
  await one.inList("Delete Hello");
  await one.page.getByRole("button", { name: "Delete", exact: true }).click();
  await one.page.locator("#welcome").waitFor();
  await two.page.locator("#state", { hasText: "Closed" }).waitFor();
  assert.match(await two.notice, /No chat with this id/);
  await one.close();
});

test("a ticket that is used up is replaced", async () => {
  const playground = await Playground.open();
  await playground.send("Hello");
  await playground.until("complete");
  let tickets = 0;
  await playground.page.route("**/tickets", async (route) => {
    const response = await route.fetch();
    const ticket = (await response.json()) as { url: string };
    tickets += 1;
    // The first one is redeemed before the page can.
    if (tickets === 1) await new Promise((resolve) => new WebSocket(ticket.url).addEventListener("open", resolve));
    await route.fulfill({ response, json: ticket });
  });
  await playground.page.reload();
  await playground.page.locator("#state", { hasText: "Connected" }).waitFor();
  assert.equal(tickets, 2);
  await playground.close();
});

test("a message and its answer are shown once, also if they are loaded before their events come", async () => {
  const playground = await Playground.open();
  let [release, isReleased] = [() => {}, false];
  await playground.page.routeWebSocket(/ticket=/, (socket) => {
    const held: (string | Buffer)[] = [];
    release = () => {
      isReleased = true;
      for (const message of held) socket.send(message);
    };
    socket.connectToServer().onMessage((message) => {
      const isFirst = String(message).includes("connection_established");
      if (isReleased || isFirst) socket.send(message);
      else held.push(message);
    });
  });
  await playground.page.route("**/messages*", async (route) => {
    for (;;) {
      const response = await route.fetch();
      if (((await response.json()) as { total: number }).total === 2) return route.fulfill({ response });
    }
  });
  await playground.send(words(40));
  await playground.until("streaming");
  release();
  await playground.until("complete");
  assert.equal(await playground.lastText, `You said: ${words(40)}`);
  assert.equal(await playground.page.locator(".message.user").count(), 1);
  await playground.close();
});

test("a model's HTML is text, and its links are harmless", async () => {
  const playground = await Playground.open();
  await playground.send(
    '<img src=x onerror="window.hacked=1"> [a](javascript:window.hacked=1) ![b](http://127.0.0.1/b.png) [c](https://example.com)',
  );
  await playground.until("complete");
  const body = playground.answers.locator(".body");
  assert.equal(await body.locator("img").count(), 0);
  const links = await body
    .locator("a")
    .evaluateAll((all) => all.map((a) => [a.getAttribute("href"), a.getAttribute("rel")]));
  assert.deepEqual(
    links.filter(([href]) => href?.startsWith("javascript")),
    [],
  );
  assert.ok(links.every(([, rel]) => rel === "noopener noreferrer nofollow"));
  assert.equal(await playground.page.evaluate(() => "hacked" in window), false);
  await playground.close();
});

test("an answer stays in its chat when another one is opened", async () => {
  const playground = await Playground.open();
  await playground.send(words(80));
  await playground.untilMiddle();
  await playground.page.getByRole("button", { name: "New chat" }).click();
  await playground.send("elsewhere");
  await playground.until("complete");
  assert.equal(await playground.lastText, "You said: elsewhere");
  await playground.page.goBack();
  await playground.page.goBack();
  await playground.until("complete");
  assert.equal(await playground.lastText, `You said: ${words(80)}`);
  await playground.close();
});

test("settings change title and model", async () => {
  const playground = await Playground.open();
  await playground.send("Hello");
  await playground.until("complete");
  await playground.inList("Settings of Hello");
  await playground.page.getByLabel("Title").fill("Another title");
  await playground.page.getByLabel("Model").fill("echo");
  await playground.page.getByRole("button", { name: "Save" }).click();
  await playground.page.locator("#title", { hasText: "Another title" }).waitFor();
  await playground.send("faster");
  await playground.until("complete", 2);
  await playground.page.getByRole("button", { name: "Details" }).click();
  await playground.page.locator("#figures").getByText("REST requests left").waitFor();
  assert.ok((await playground.page.locator("#events li").count()) > 6);
  await playground.close();
});

test("it is accessible, light and dark, wide and narrow", async () => {
  const axe = await readFile("node_modules/axe-core/axe.min.js", "utf8");
  const first = await Playground.open();
  await first.send("| a |\n|---|\n| 1 |\n\n```\ncode\n```");
  await first.until("complete");
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [1280, 390]) {
      const viewport = { width, height: 800 };
      const playground = await Playground.open(new URL(first.page.url()).hash, {
        colorScheme,
        viewport,
        bypassCSP: true,
      });
      await playground.until("complete");
      await playground.page.getByRole("button", { name: "Details" }).click();
      await playground.page.evaluate(axe);
      const violations = await playground.page.evaluate(async () => {
        const { violations } = await (
          window as never as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } }
        ).axe.run();
        return violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
      });
      assert.deepEqual(violations, [], `${colorScheme}, ${width} px`);
      await playground.page.screenshot({ path: `${screenshots}/${colorScheme}-${width}.png` });
      await playground.close();
    }
  }
  await first.close();
});

test("it works by keyboard alone", async () => {
  const playground = await Playground.open();
  const { keyboard } = playground.page;
  await keyboard.type("Hello");
  await keyboard.press("Shift+Enter");
  await keyboard.type("there");
  await keyboard.press("Enter");
  await playground.until("complete");
  assert.equal((await playground.lastText).replace(/\s+/g, " "), "You said: Hello there");
  // The skip link leads back to the composer, and leaves the chat open.
  const address = playground.page.url();
  await playground.page.getByText("Skip to the message").focus();
  await keyboard.press("Enter");
  await keyboard.type("again");
  await keyboard.press("Enter");
  await playground.until("complete", 2);
  assert.equal(playground.page.url(), address);
  // From the composer back to the answer's buttons.
  const reached = new Set<string>();
  for (let step = 0; step < 12; step += 1) {
    await keyboard.press("Shift+Tab");
    reached.add(await playground.page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? ""));
  }
  assert.ok(reached.has("Regenerate the answer") && reached.has("Copy the answer"), [...reached].join());
  await playground.close();
});

test("a rate limit is reported, and nothing that was typed is lost", async () => {
  const playground = await Playground.open();
  // A new chat takes more requests than one.
  await stack.setDemoLimits({ "rest-per-minute": 1 });
  await playground.send("Hello");
  await playground.page.locator("#notice").filter({ hasText: "requests" }).waitFor();
  assert.equal(await playground.page.getByLabel("Message", { exact: true }).inputValue(), "Hello");
  await stack.setDemoLimits({ "rest-per-minute": 10_000 });
  await playground.close();
});
