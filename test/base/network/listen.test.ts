import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bind, hostAndPortOf, parseListen } from "../../../src/base/network/listen.ts";

describe("an address to listen on", () => {
  it.each([
    ["127.0.0.1:7070", { kind: "tcp", host: "127.0.0.1", port: 7070 }],
    ["[::1]:0", { kind: "tcp", host: "::1", port: 0 }],
    ["localhost:65535", { kind: "tcp", host: "localhost", port: 65_535 }],
    ["unix:/run/x.sock", { kind: "unix", path: "/run/x.sock" }],
  ])("%s", (text, address) => {
    expect(parseListen(text)).toEqual(address);
  });

  it.each(["", "7070", ":7070", "host", "host:65536", "::1:7070", "unix:", "http://host:1"])("is not %j", (text) => {
    expect(() => parseListen(text)).toThrow(`Cannot listen on "${text}": expected "host:port"`);
  });
});

describe("a server that starts to listen", () => {
  let directory: string;
  const servers: Server[] = [];
  const server = (): Server => {
    const made = createServer();
    servers.push(made);
    return made;
  };
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "belay-test-"));
  });
  afterEach(() => {
    for (const made of servers.splice(0)) made.close();
    rmSync(directory, { recursive: true });
  });

  it("gets a free port, or an error if the port is in use", async () => {
    const first = server();
    await bind(first, parseListen("127.0.0.1:0"));
    const where = hostAndPortOf(first, "127.0.0.1");
    await expect(bind(server(), parseListen(where))).rejects.toMatchObject({
      code: "ADDRESS_IN_USE",
      message: `Cannot listen on ${where}: another program is listening there`,
    });
  });

  it("replaces the socket of a process that was killed, but not of one that lives", async () => {
    const path = join(directory, "socket");
    const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect(existsSync(path)).toBe(true);
    await bind(server(), { kind: "unix", path });
    await expect(bind(server(), { kind: "unix", path })).rejects.toMatchObject({ code: "ADDRESS_IN_USE" });
  });

  it("cannot use a directory that does not exist", async () => {
    const path = join(directory, "none", "socket");
    await expect(bind(server(), { kind: "unix", path })).rejects.toMatchObject({ code: "BAD_USAGE" });
  });
});
