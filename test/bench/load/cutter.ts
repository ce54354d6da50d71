import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** A proxy in front of the tracker that can reset its connections. New connections may follow. */
export class Cutter {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  private constructor(to: URL) {
    this.server = createServer((near) => {
      const far = connect(Number(to.port), to.hostname);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.sockets.add(socket);
        socket.setNoDelay(true);
        socket.pipe(other);
        // A reset of one end is passed on to the other.
        socket.on("error", () => other.resetAndDestroy());
        socket.once("close", () => this.sockets.delete(socket));
      }
    });
  }

  static async open(to: string): Promise<Cutter> {
    const cutter = new Cutter(new URL(to));
    cutter.server.listen(0, "127.0.0.1");
    await once(cutter.server, "listening");
    return cutter;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Resets all connections. */
  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.close();
    this.cut();
    await once(this.server, "close");
  }
}
