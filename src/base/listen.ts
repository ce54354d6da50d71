import { existsSync, statSync, unlinkSync } from "node:fs";
import { type AddressInfo, connect, type Server } from "node:net";
import { BelayError, errnoOf, messageOf } from "./errors.ts";
import { hostAndPort } from "./tracker-address.ts";

/** Where to listen. */
export type ListenAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/**
 * Reads `host:port`, `[v6]:port` or `unix:/path`.
 *
 * @throws BelayError `BAD_USAGE`
 */
export function parseListen(text: string): ListenAddress {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    if (path !== "") return { kind: "unix", path };
  }
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) {
    throw new BelayError(
      "BAD_USAGE",
      `Cannot listen on "${text}": expected "host:port", "[ipv6]:port" or "unix:/path"`,
    );
  }
  return { kind: "tcp", host, port };
}

/**
 * Has a server listen. A socket file that was left by a process that was killed is replaced.
 *
 * @throws BelayError `ADDRESS_IN_USE`, or `BAD_USAGE` for an address that cannot be had
 */
export async function bind(server: Server, address: ListenAddress): Promise<void> {
  if (address.kind === "unix") await removeStale(address.path);
  const where = address.kind === "unix" ? `unix:${address.path}` : `${address.host}:${address.port}`;
  await new Promise<void>((resolve, reject) => {
    server.on("error", (error: Error) => {
      const taken = errnoOf(error) === "EADDRINUSE";
      const message = taken
        ? `Cannot listen on ${where}: another program is listening there`
        : `Cannot listen on ${where}: ${messageOf(error)}`;
      reject(new BelayError(taken ? "ADDRESS_IN_USE" : "BAD_USAGE", message, { cause: error }));
    });
    if (address.kind === "unix") server.listen(address.path, resolve);
    else server.listen(address.port, address.host, resolve);
  });
}

/** `host:port` of a server that listens, with the port that it got. */
export function hostAndPortOf(server: Server, host: string): string {
  return hostAndPort({ host, port: (server.address() as AddressInfo).port });
}

/** A socket file that nobody answers at was left by a process that was killed. */
async function removeStale(path: string): Promise<void> {
  if (!existsSync(path) || !statSync(path).isSocket()) return;
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => resolve(true));
    probe.once("error", () => resolve(false));
    probe.once("close", () => probe.destroy());
    probe.once("connect", () => probe.destroy());
  });
  if (!alive) unlinkSync(path);
}
