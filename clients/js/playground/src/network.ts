// The network of this page, which a switch cuts: sockets break, and calls fail.

const sockets = new Set<SwitchedWebSocket>();

export const network = {
  isOn: true,

  set(isOn: boolean): void {
    network.isOn = isOn;
    if (isOn) window.dispatchEvent(new Event("online"));
    else for (const socket of sockets) socket.break();
  },
};

/** A WebSocket that the switch breaks: nothing more arrives, and it counts as closed. */
export class SwitchedWebSocket extends EventTarget {
  readonly #socket: WebSocket | undefined;
  #isOpen = true;

  constructor(url: string) {
    super();
    sockets.add(this);
    if (!network.isOn) {
      setTimeout(() => this.break());
      return;
    }
    this.#socket = new WebSocket(url);
    for (const type of ["open", "message", "error", "close"] as const) {
      this.#socket.addEventListener(type, (event) => this.#forward(event));
    }
  }

  send(text: string): void {
    if (this.#isOpen) this.#socket?.send(text);
  }

  close(code?: number): void {
    this.#socket?.close(code);
  }

  break(): void {
    this.#forward(new CloseEvent("close", { code: 1006 }));
    this.#socket?.close();
  }

  #forward(event: Event): void {
    if (!this.#isOpen) return;
    if (event.type === "close") {
      this.#isOpen = false;
      sockets.delete(this);
    }
    const copy =
      event instanceof MessageEvent ? new MessageEvent("message", { data: event.data }) : new Event(event.type);
    this.dispatchEvent(copy);
  }
}
