import { createServer, connect as connectTcp, type Socket, type Server } from "node:net";

/** What happens to a connection. */
export interface Fate {
  /** After how many bytes from the server. */
  afterBytes: number;
  /** `cut` ends both sides, `stall` forwards nothing more. */
  fault: "cut" | "stall";
  /** How long bytes from the server take at most, in milliseconds: each time another part of it. */
  delayMs?: number;
}

/** A proxy before the stack that cuts, stalls and delays connections. */
export class CuttingProxy {
  cuts = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: URL, fate: () => Fate | undefined) {
    this.#server = createServer((client) => {
      const upstream = connectTcp(Number(target.port), target.hostname);
      const close = () => (client.destroy(), upstream.destroy());
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket
          .on("error", close)
          .on("close", close)
          .on("close", () => this.#sockets.delete(socket));
      }
      client.pipe(upstream);
      const { afterBytes = Infinity, fault, delayMs = 0 } = fate() ?? {};
      let bytes = 0;
      const forward = (data: Buffer) => {
        if (bytes >= afterBytes) return;
        const rest = afterBytes - bytes;
        bytes += data.length;
        if (bytes < afterBytes) return void client.write(data);
        this.cuts += 1;
        // Part of a frame arrives.
        client.write(data.subarray(0, rest), () => fault === "cut" && close());
      };
      let arrived = Promise.resolve();
      upstream.on("data", (data: Buffer) => {
        if (delayMs === 0) return forward(data);
        arrived = arrived.then(() => new Promise((resolve) => setTimeout(resolve, Math.random() * delayMs)));
        void arrived.then(() => forward(data));
      });
    });
  }

  /** `fate` is asked for each connection. */
  static async start(target: string, fate: () => Fate | undefined): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(new URL(target), fate);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  /** An address of the stack, by way of this proxy. */
  through(url: string): string {
    const through = new URL(url);
    const address = this.#server.address();
    if (typeof address !== "object" || address === null) throw new Error("the proxy does not listen");
    through.port = String(address.port);
    return through.href;
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
