import { execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { ChatApi } from "../../src/server.js";

/** The command line of this workspace, which `cargo build` makes. */
const CHAT = process.env.CHAT ?? new URL("../../target/debug/chat", `file://${process.cwd()}/`).pathname;

interface Ready {
  rest_url: string;
  websocket_url: string;
  playground_url: string;
  dynamodb_endpoint: string;
  functions: Record<string, number>;
}

/** A tenant of the local stack. */
export interface Tenant {
  api: ChatApi;
  key: string;
  id: string;
}

/** The local stack, on ports of its own. */
export class Stack {
  readonly restUrl: string;
  readonly websocketUrl: string;
  readonly playgroundUrl: string;
  readonly functions: Record<string, number>;
  readonly #dynamodb: string;
  readonly #stop: () => Promise<void>;

  private constructor(ready: Ready, stop: () => Promise<void>) {
    this.restUrl = ready.rest_url;
    this.websocketUrl = ready.websocket_url;
    this.playgroundUrl = ready.playground_url;
    this.functions = ready.functions;
    this.#dynamodb = ready.dynamodb_endpoint;
    this.#stop = stop;
  }

  static async start(): Promise<Stack> {
    const options = ["--port", "0", "--dynamodb-port", "0", "--in-memory", "--no-reload", "--json"];
    const child = spawn(CHAT, ["dev", ...options], { stdio: ["ignore", "pipe", "ignore"] });
    const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    const stop = async () => {
      child.kill("SIGINT");
      await exited;
    };
    for await (const line of createInterface({ input: child.stdout })) {
      const event = JSON.parse(line);
      if (event.event === "ready") return new Stack(event, stop);
    }
    throw new Error(`${CHAT} dev ended before it was ready: build it with cargo build`);
  }

  /** Creates a tenant with limits that no test reaches, except the given ones. */
  async tenant(limits: Record<string, number> = {}): Promise<Tenant> {
    const unreached = {
      "rest-per-minute": 100_000,
      "tickets-per-minute": 100_000,
      "connects-per-minute": 100_000,
      "messages-per-minute": 100_000,
    };
    const created = await this.#tenantCommand("create", "client test", { ...unreached, ...limits });
    const { tenant_id, api_key } = created as { tenant_id: string; api_key: string };
    return { id: tenant_id, key: api_key, api: new ChatApi({ url: this.restUrl, key: api_key }) };
  }

  /** Changes the limits of the demo tenant, which the playground uses. */
  async setDemoLimits(limits: Record<string, number>): Promise<void> {
    await this.#tenantCommand("set-limits", "Demo", limits);
  }

  async #tenantCommand(command: string, name: string, limits: Record<string, number>): Promise<unknown> {
    const options = Object.entries(limits).flatMap(([limit, value]) => [`--${limit}`, String(value)]);
    const endpoints = ["--dynamodb-endpoint", this.#dynamodb, "--management-endpoint", this.restUrl, "--json"];
    const { stdout } = await promisify(execFile)(CHAT, ["tenant", command, name, ...options, ...endpoints]);
    return JSON.parse(stdout);
  }

  stop(): Promise<void> {
    return this.#stop();
  }
}
