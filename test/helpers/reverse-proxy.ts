import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import path from "node:path";
import { getuid } from "node:process";
import { onTestFinished, vi } from "vitest";
import { tempDirectory } from "./cli.ts";

// Debian installs the proxies in /usr/sbin, which is not in every user's PATH.
const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin` };

/** A reverse proxy that users put in front of a tracker, in Debian's version. */
export interface ReverseProxy {
  readonly name: "nginx" | "HAProxy";
  /** Whether it is not installed here. */
  readonly missing: boolean;
  /** @param seconds without a byte after which it ends a stream */
  config(directory: string, socket: string, backend: string, seconds: number): string;
  command(directory: string, config: string): string[];
}

export const REVERSE_PROXIES: readonly ReverseProxy[] = [
  {
    name: "nginx",
    missing: spawnSync("nginx", ["-v"], { env }).error !== undefined,
    config: (directory, socket, backend, seconds) => `
${getuid?.() === 0 ? "user root;" : ""}
worker_processes 1;
pid ${directory}/pid;
error_log ${directory}/error.log;
events {}
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((of) => `${of}_temp_path ${directory}/${of};`).join(" ")}
  server {
    listen unix:${socket} http2;
    client_max_body_size 0;
    client_body_timeout ${seconds}s;
    grpc_read_timeout ${seconds}s;
    grpc_send_timeout ${seconds}s;
    grpc_connect_timeout 1s;
    location / { grpc_pass grpc://${backend}; }
  }
}
`,
    command: (directory, config) => ["nginx", "-p", directory, "-c", config, "-g", "daemon off;"],
  },
  {
    name: "HAProxy",
    missing: spawnSync("haproxy", ["-v"], { env }).error !== undefined,
    config: (_, socket, backend, seconds) => `
defaults
  mode http
  timeout connect 1s
  timeout client ${seconds}s
  timeout server ${seconds}s
  retries 0
frontend front
  bind unix@${socket} proto h2
  default_backend tracker
backend tracker
  server tracker ${backend} proto h2
`,
    command: (_, config) => ["haproxy", "-db", "-f", config],
  },
];

/**
 * Starts a proxy in front of a tracker; it is stopped when the test is over.
 *
 * @param tracker its address, such as `http://127.0.0.1:7070`
 * @returns the address of the proxy, a socket
 */
export async function startReverseProxy(proxy: ReverseProxy, tracker: string, seconds: number): Promise<string> {
  const directory = await tempDirectory();
  const socket = path.join(directory, "front.sock");
  const config = path.join(directory, "config");
  await writeFile(config, proxy.config(directory, socket, new URL(tracker).host, seconds));
  const [command = "", ...args] = proxy.command(directory, config);
  const child = spawn(command, args, { env, stdio: ["ignore", "ignore", "pipe"] });
  const errors: Buffer[] = [];
  child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
  onTestFinished(async () => {
    child.kill("SIGTERM");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  await vi.waitFor(
    async () => {
      if (await accepts(socket)) return;
      throw new Error(`${proxy.name} does not listen: ${Buffer.concat(errors).toString()}`);
    },
    { interval: 20, timeout: 10_000 },
  );
  return `unix:${socket}`;
}

async function accepts(path: string): Promise<boolean> {
  const socket = createConnection(path);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
