import { connect, type Socket } from "node:net";
import { errnoOf, messageOf } from "../../errors.ts";
import { type Proxy, ProxyError } from "../proxy.ts";
import { hostAndPort, type TcpAddress } from "../tracker-address.ts";

/** Time for a proxy's complete answer, in which it connects to the tracker. Milliseconds. */
const TIMEOUT_MS = 10_000;
/** Longest head of an answer. */
const MAX_HEAD_BYTES = 16_384;

/** Connects to a tracker through a proxy. @throws ProxyError */
export async function connectThrough(proxy: Proxy, address: TcpAddress, signal?: AbortSignal): Promise<Socket> {
  const socket = connect({ host: proxy.host, port: proxy.port });
  return openTunnel(socket, proxy, address, signal);
}

/**
 * Asks a proxy for a tunnel to a tracker.
 *
 * @param socket to the proxy, connected or not; destroyed if there is no tunnel
 * @throws ProxyError
 */
export async function openTunnel(
  socket: Socket,
  proxy: Proxy,
  address: TcpAddress,
  signal?: AbortSignal,
): Promise<Socket> {
  const fail = (): void => void socket.destroy(new Error("the proxy did not answer in time"));
  const timer = setTimeout(fail, TIMEOUT_MS);
  signal?.addEventListener("abort", fail, { once: true });
  if (signal?.aborted === true) fail();
  try {
    const target = hostAndPort(address);
    const authorization = proxy.authorization === undefined ? "" : `Proxy-Authorization: ${proxy.authorization}\r\n`;
    socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${authorization}\r\n`);
    const head = await readHead(socket);
    const [, status, reason = ""] = /^HTTP\/1\.\d (\d{3}) ?([^\r\n]*)/.exec(head) ?? [];
    if (status === undefined) throw new ProxyError(`${proxy.text} does not answer like a proxy`);
    if (!status.startsWith("2")) {
      const why = WHY[status] ?? "it refuses the connection";
      const text = `${proxy.text} does not connect to ${target}: ${why} (${`${status} ${reason}`.trim()})`;
      throw new ProxyError(text, { status: Number(status) });
    }
    return socket;
  } catch (error) {
    socket.destroy();
    if (error instanceof ProxyError) throw error;
    const why = WHY[errnoOf(error) ?? ""] ?? messageOf(error);
    throw new ProxyError(`${proxy.text} cannot be reached: ${why}`, { cause: error });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", fail);
  }
}

const WHY: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "it closed the connection",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "its name cannot be looked up now",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no route to the network",
  ETIMEDOUT: "no answer",
  "407": "it requires a user and a password, as in http://user:password@host:port",
  "403": "it does not allow this",
  "502": "it cannot reach the tracker now",
  "503": "it cannot reach the tracker now",
  "504": "it cannot reach the tracker now",
};

/** Reads up to the empty line; later bytes stay in the socket. */
function readHead(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0);
    const done = (then: () => void): void => {
      socket.off("readable", read);
      socket.off("end", ended);
      socket.off("close", ended);
      then();
    };
    const ended = (): void =>
      done(() => reject(socket.errored ?? new Error("it closed the connection without an answer")));
    const read = (): void => {
      for (let piece = socket.read() as Buffer | null; piece !== null; piece = socket.read() as Buffer | null) {
        seen = Buffer.concat([seen, piece]);
        const end = seen.indexOf("\r\n\r\n");
        if (end < 0 && seen.length < MAX_HEAD_BYTES) continue;
        const rest = seen.subarray(end < 0 ? seen.length : end + 4);
        if (rest.length > 0) socket.unshift(rest);
        done(() => resolve(seen.toString("latin1", 0, end < 0 ? seen.length : end)));
        return;
      }
    };
    // This listener stays: an error after the tunnel is open also reaches the listeners of its user.
    socket.on("error", () => undefined);
    socket.on("readable", read);
    socket.on("end", ended);
    socket.on("close", ended);
  });
}
