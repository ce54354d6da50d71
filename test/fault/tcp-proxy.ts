import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { onTestFinished } from "vitest";

/** How the bytes of one direction are passed on. */
export interface LinkConditions {
  /** `hold` is a black hole: nothing is passed on, and neither end gets an error. */
  readonly flow: "pass" | "hold";
  /** Most bytes a second. 0: no limit. */
  readonly bytesPerSecond: number;
  /** Milliseconds that each piece waits. */
  readonly delay: number;
}

const UNIMPAIRED: LinkConditions = { flow: "pass", bytesPerSecond: 0, delay: 0 };

/** Bytes of a throttled piece: small, so that the rate is even. */
const SLICE = 1460;

/** Most bytes that a direction buffers. Further bytes stay in the sender's kernel, as before a slow link. */
const HOLDS = 32 << 10;

/** One direction of one connection: buffers bytes, and passes them on as the conditions allow. */
class Pipe {
  bytes = 0;
  private readonly from: Socket;
  private readonly to: Socket;
  private readonly conditions: () => LinkConditions;
  private readonly waiting: { data: Buffer; readonly at: number }[] = [];
  private held = 0;
  private running = false;
  private freeAt = 0;
  private ended = false;

  constructor(from: Socket, to: Socket, conditions: () => LinkConditions) {
    this.from = from;
    this.to = to;
    this.conditions = conditions;
    from.on("data", (data: Buffer) => {
      this.waiting.push({ data, at: performance.now() });
      this.held += data.length;
      if (this.held >= HOLDS) from.pause();
      void this.run();
    });
    from.on("end", () => {
      this.ended = true;
      void this.run();
    });
  }

  /** Passes bytes on as the conditions allow. Must be called when the conditions have changed. */
  async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    for (;;) {
      const { flow, bytesPerSecond, delay } = this.conditions();
      const first = this.waiting[0];
      if (first === undefined || flow === "hold" || this.to.destroyed) break;
      const size = bytesPerSecond === 0 ? first.data.length : Math.min(SLICE, first.data.length);
      const now = performance.now();
      this.freeAt = Math.max(this.freeAt, now) + (bytesPerSecond === 0 ? 0 : (size * 1000) / bytesPerSecond);
      const wait = Math.max(first.at + delay, this.freeAt) - now;
      // Short waits are skipped: the next ones are longer by as much.
      if (wait > 5) await new Promise((resolve) => setTimeout(resolve, wait));
      if (this.to.destroyed || this.conditions().flow === "hold") break;
      const piece = first.data.subarray(0, size);
      if (size === first.data.length) this.waiting.shift();
      else first.data = first.data.subarray(size);
      this.held -= size;
      this.bytes += size;
      if (this.held < HOLDS) this.from.resume();
      // `once` rejects when the socket fails; the next round sees that it is destroyed.
      const room = (): Promise<unknown> => Promise.race([once(this.to, "drain"), once(this.to, "close")]);
      if (!this.to.write(piece)) await room().catch(() => undefined);
    }
    if (this.ended && this.waiting.length === 0 && this.conditions().flow === "pass") this.to.end();
    this.running = false;
  }
}

interface Connection {
  readonly client: Socket;
  readonly server: Socket;
  readonly up: Pipe;
  readonly down: Pipe;
}

/** A TCP proxy in front of a tracker. A test sets its conditions: rate, delay, loss. "Up" is towards the tracker. */
export class TcpProxy {
  readonly port: number;
  /** Number of connections accepted so far. */
  taken = 0;
  up: LinkConditions = UNIMPAIRED;
  down: LinkConditions = UNIMPAIRED;
  private readonly server: Server;
  private target: { host: string; port: number };
  private readonly connections = new Set<Connection>();
  private limit = Number.POSITIVE_INFINITY;

  private constructor(server: Server, target: URL) {
    this.server = server;
    this.target = placeOf(target);
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (client) => this.take(client));
  }

  /** Starts a proxy; it is closed when the test is over. */
  static async start(target: string, port = 0): Promise<TcpProxy> {
    const server = createServer({ noDelay: true });
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    const proxy = new TcpProxy(server, new URL(target));
    onTestFinished(() => proxy.close());
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Number of open connections. */
  get open(): number {
    return this.connections.size;
  }

  /** Bytes passed on by the open connections. */
  get passed(): { up: number; down: number } {
    const all = [...this.connections];
    return { up: sum(all.map(({ up }) => up.bytes)), down: sum(all.map(({ down }) => down.bytes)) };
  }

  /** Changes the conditions of open and later connections. */
  setConditions(conditions: { up?: Partial<LinkConditions>; down?: Partial<LinkConditions> }): void {
    this.up = { ...this.up, ...conditions.up };
    this.down = { ...this.down, ...conditions.down };
    for (const { up, down } of this.connections) void Promise.all([up.run(), down.run()]);
  }

  /** Passes no bytes on in either direction; neither end gets an error. */
  blackHole(): void {
    this.setConditions({ up: { flow: "hold" }, down: { flow: "hold" } });
  }

  /** Ends the fault: buffered bytes are passed on, and connections that one end has closed are closed. */
  clear(): void {
    for (const connection of this.connections) {
      if (connection.client.destroyed || connection.server.destroyed) drop(connection, "fin");
    }
    this.setConditions({ up: UNIMPAIRED, down: UNIMPAIRED });
  }

  /** Behaves as if the machine were off: nothing is passed on, and no connection is accepted. */
  goAway(): void {
    this.blackHole();
    this.server.close();
  }

  /** Accepts connections again. */
  async comeBack(): Promise<void> {
    this.server.listen(this.port, "127.0.0.1");
    await once(this.server, "listening");
    this.clear();
  }

  /** New connections go to another tracker. */
  divert(target: string): void {
    this.target = placeOf(new URL(target));
  }

  /** Ends all connections, in order or not. */
  cut(how: "fin" | "rst"): void {
    for (const connection of this.connections) drop(connection, how);
  }

  /** Cuts the next connection after it has passed on a number of bytes upwards. */
  cutNextAfter(bytes: number): void {
    this.limit = bytes;
  }

  close(): void {
    this.server.close();
    this.cut("rst");
  }

  private take(client: Socket): void {
    this.taken++;
    const server = connect({ ...this.target, noDelay: true });
    const connection = {
      client,
      server,
      up: new Pipe(client, server, () => this.up),
      down: new Pipe(server, client, () => this.down),
    };
    this.connections.add(connection);
    for (const socket of [client, server]) {
      socket.on("error", () => undefined);
      socket.once("close", () => {
        this.connections.delete(connection);
        // In a black hole, the end of one side does not reach the other.
        const { flow } = socket === client ? this.up : this.down;
        if (flow === "pass") drop(connection, "fin");
      });
    }
    const { limit } = this;
    if (limit === Number.POSITIVE_INFINITY) return;
    this.limit = Number.POSITIVE_INFINITY;
    let seen = 0;
    client.on("data", (data: Buffer) => {
      seen += data.length;
      if (seen >= limit) drop(connection, "rst");
    });
  }
}

function drop({ client, server }: Connection, how: "fin" | "rst"): void {
  for (const socket of [client, server]) {
    if (how === "rst") socket.resetAndDestroy();
    else socket.destroy();
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function placeOf({ hostname, port }: URL): { host: string; port: number } {
  return { host: hostname, port: Number(port) };
}
