import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { onTestFinished } from "vitest";

/** What happens to bytes of one direction. */
export interface Weather {
  /** `hold` is a black hole: nothing is passed on, and nobody is told. */
  readonly flow: "pass" | "hold";
  /** Most bytes a second. 0: no limit. */
  readonly bytesPerSecond: number;
  /** Milliseconds that each piece waits. */
  readonly delay: number;
}

const FAIR: Weather = { flow: "pass", bytesPerSecond: 0, delay: 0 };

/** Bytes of a throttled piece: small, so that the rate is even. */
const SLICE = 1460;

/** Bytes that a direction holds: what it cannot pass on stays in the sender's kernel, as before a slow link. */
const HOLDS = 32 << 10;

/** One direction of one connection: bytes that arrive, and wait for the weather. */
class Pipe {
  bytes = 0;
  private readonly from: Socket;
  private readonly to: Socket;
  private readonly weather: () => Weather;
  private readonly waiting: { data: Buffer; readonly at: number }[] = [];
  private held = 0;
  private running = false;
  private freeAt = 0;
  private ended = false;

  constructor(from: Socket, to: Socket, weather: () => Weather) {
    this.from = from;
    this.to = to;
    this.weather = weather;
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

  /** Passes on what the weather lets through. To be called when it has changed. */
  async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    for (;;) {
      const { flow, bytesPerSecond, delay } = this.weather();
      const first = this.waiting[0];
      if (first === undefined || flow === "hold" || this.to.destroyed) break;
      const size = bytesPerSecond === 0 ? first.data.length : Math.min(SLICE, first.data.length);
      const now = performance.now();
      this.freeAt = Math.max(this.freeAt, now) + (bytesPerSecond === 0 ? 0 : (size * 1000) / bytesPerSecond);
      const wait = Math.max(first.at + delay, this.freeAt) - now;
      // Short waits are made up for by the next ones.
      if (wait > 5) await new Promise((resolve) => setTimeout(resolve, wait));
      if (this.to.destroyed || this.weather().flow === "hold") break;
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
    if (this.ended && this.waiting.length === 0 && this.weather().flow === "pass") this.to.end();
    this.running = false;
  }
}

interface Connection {
  readonly client: Socket;
  readonly server: Socket;
  readonly up: Pipe;
  readonly down: Pipe;
}

/** A way to a tracker on which a test makes the weather, byte by byte. Upwards is towards the tracker. */
export class TcpProxy {
  readonly port: number;
  /** Connections taken so far. */
  taken = 0;
  up: Weather = FAIR;
  down: Weather = FAIR;
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

  /** Starts one; it goes when the test is over. */
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

  /** Connections there are. */
  get open(): number {
    return this.connections.size;
  }

  /** Bytes passed on by all connections there are. */
  get passed(): { up: number; down: number } {
    const all = [...this.connections];
    return { up: sum(all.map(({ up }) => up.bytes)), down: sum(all.map(({ down }) => down.bytes)) };
  }

  /** Changes the weather, for connections there are and those to come. */
  setWeather(weather: { up?: Partial<Weather>; down?: Partial<Weather> }): void {
    this.up = { ...this.up, ...weather.up };
    this.down = { ...this.down, ...weather.down };
    for (const { up, down } of this.connections) void Promise.all([up.run(), down.run()]);
  }

  /** Bytes go nowhere in either direction, and nobody is told. */
  blackHole(): void {
    this.setWeather({ up: { flow: "hold" }, down: { flow: "hold" } });
  }

  /** All is well again: bytes that waited go on; connections that one end has given up are gone. */
  clear(): void {
    for (const connection of this.connections) {
      if (connection.client.destroyed || connection.server.destroyed) drop(connection, "fin");
    }
    this.setWeather({ up: FAIR, down: FAIR });
  }

  /** As when the machine is away: nothing goes through what is there, and nothing new is taken. */
  goAway(): void {
    this.blackHole();
    this.server.close();
  }

  /** It is there again. */
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

  /** Cuts the next connection after it has passed on so many bytes upwards. */
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
        // What happens on the one side is not seen on the other while the way is a black hole.
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
