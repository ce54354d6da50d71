import { existsSync, statSync, unlinkSync } from "node:fs";
import { type AddressInfo, connect, type Server } from "node:net";
import { dirname, isAbsolute, resolve as resolvePath } from "node:path";
import { workingDirectory } from "../files/directories.ts";
import { BelayError, errnoOf, messageOf } from "../errors.ts";
import { hostAndPort } from "./tracker-address.ts";

/** An address to listen on. */
export type ListenAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/**
 * Parses `host:port`, `[v6]:port` or `unix:/path`.
 *
 * @throws BelayError `BAD_USAGE`
 */
export function parseListen(text: string): ListenAddress {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    // The path becomes absolute: it is shown to users, and clients accept only absolute ones.
    // In a directory that was deleted, or whose name is not UTF-8, only the relative path can be used.
    const isExact = isAbsolute(path) || workingDirectory()?.isWellFormed() === true;
    if (path !== "") return { kind: "unix", path: isExact ? resolvePath(path) : path };
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
 * Makes a server listen. Replaces a socket file that a killed process has left.
 *
 * @throws BelayError `ADDRESS_IN_USE`, or `BAD_USAGE` for an address that cannot be used
 */
export async function bind(server: Server, address: ListenAddress): Promise<void> {
  if (address.kind === "unix") await removeStale(address.path);
  const where = address.kind === "unix" ? `unix:${address.path}` : hostAndPort(address);
  await new Promise<void>((resolve, reject) => {
    server.on("error", (error: Error) => {
      const taken = errnoOf(error) === "EADDRINUSE";
      // libuv reports EACCES for a directory that does not exist.
      const missing = address.kind === "unix" && !existsSync(dirname(address.path));
      const why = WHY[missing ? "ENOENT" : (errnoOf(error) ?? "")] ?? messageOf(error);
      const message = `Cannot listen on ${where}: ${taken ? "another program is listening there" : why}`;
      reject(new BelayError(taken ? "ADDRESS_IN_USE" : "BAD_USAGE", message, { cause: error }));
    });
    if (address.kind === "unix") server.listen(address.path, resolve);
    else server.listen(address.port, address.host, resolve);
  });
}

/** Why the server cannot listen, by the system's error. */
const WHY: Readonly<Record<string, string>> = {
  ENOTFOUND: "no host has this name",
  EAI_AGAIN: "the name cannot be looked up now",
  EADDRNOTAVAIL: "this machine does not have the address",
  EAFNOSUPPORT: "this machine has no addresses of this kind",
  EACCES: "no permission",
  ENOENT: "the directory does not exist",
  ENOTDIR: "the directory is a file",
  EINVAL: "the address cannot be used; the path of a socket has 107 bytes at most",
};

/** `host:port` of a server that listens, with the port that it got. */
export function hostAndPortOf(server: Server, host: string): string {
  return hostAndPort({ host, port: (server.address() as AddressInfo).port });
}

/** Removes a socket file if no process listens on it: a killed process left it behind. */
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
