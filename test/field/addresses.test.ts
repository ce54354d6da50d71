import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { networkInterfaces } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { JobService } from "../../src/gen/belay/v1/job_service_pb.ts";
import { belayEnds, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

const noIpv6 = !Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));

/** The address on which the tracker listens, and all forms of it for clients. PORT stands for the port. */
const table: [listen: string, ...clients: string[]][] = [
  ["127.0.0.1:0", "http://127.0.0.1:PORT", "http://127.0.0.1:PORT/", "HTTP://127.1:PORT", "http://0.0.0.0:PORT"],
  ["0.0.0.0:0", "http://localhost:PORT", "http://127.9.9.9:PORT"],
  ["[::1]:0", "http://[::1]:PORT", "http://[0:0:0:0:0:0:0:1]:PORT/"],
  ["[::]:0", "http://[::1]:PORT", "http://127.0.0.1:PORT", "http://[::ffff:127.0.0.1]:PORT", "http://[::]:PORT"],
  ["[::1%lo]:0", "http://[::1]:PORT"],
];

describe("An address that the tracker listens on is reached by agent and commands alike", () => {
  it.skipIf(noIpv6).each(table)("%s", async (listen, ...clients) => {
    const tracker = await TrackerProcess.start({ listen, args: ["--insecure"] });
    const port = /(\d+)$/.exec(tracker.url)?.[1] ?? "";
    const shown = clients.map((client) => client.replace("PORT", port));
    // The address that the tracker shows is one of them, except for an unspecified one.
    if (!/0\.0\.0\.0|\[::\]/.test(listen)) shown.push(tracker.url);
    const reaches = async (url: string, at: number): Promise<void> => {
      const run = await belayEnds(["run", "--tracker", url, "--job", `j${at}`, "--", "echo", "hello"]);
      expect({ url, run }).toMatchObject({ run: { code: 0, stdout: "hello\n", stderr: "" } });
      const logs = await belayEnds(["logs", "--tracker", url, `j${at}`]);
      expect({ url, logs }).toMatchObject({ logs: { code: 0, stdout: "hello\n", stderr: "" } });
    };
    await Promise.all(shown.map(reaches));
  });

  it("a socket, by a relative path or with slashes", async () => {
    const directory = await tempDirectory();
    const relative = path.relative(process.cwd(), path.join(directory, "a.sock"));
    for (const listen of [`unix:${relative}`, `unix://${directory}/b.sock`]) {
      const tracker = await TrackerProcess.start({ listen });
      expect(tracker.url).toMatch(/^unix:\/[^/].*\.sock$/);
      expect(await tracker.ends("jobs")).toMatchObject({ code: 0 });
      expect(await tracker.ends("run", "--", "true")).toMatchObject({ code: 0 });
    }
  });

  it.skipIf(noIpv6)("Node's own HTTP/2 client, which leaves out the brackets", async () => {
    const tracker = await TrackerProcess.start({ listen: "[::1]:0" });
    const jobs = createClient(JobService, createGrpcTransport({ baseUrl: tracker.url }));
    expect((await jobs.listJobs({})).jobs).toEqual([]);
  });
});

const unusable: [listen: string, message: string][] = [
  ["[::1]:70000", '"[::1]:70000": expected "host:port", "[ipv6]:port" or "unix:/path"'],
  ["::1:7070", '"::1:7070": expected "host:port", "[ipv6]:port" or "unix:/path"'],
  ["no-such-host.invalid:0", "no-such-host.invalid:0: "],
  ["192.0.2.1:0", "192.0.2.1:0: this machine does not have the address"],
  ["unix:/no/such/directory/s", "unix:/no/such/directory/s: the directory does not exist"],
  ["unix:/dev/null/s", "unix:/dev/null/s: the directory is a file"],
  [`unix:/tmp/${"s".repeat(120)}`, "the path of a socket has 107 bytes at most"],
];

it("A tracker that cannot listen reports why, without libuv's names", async () => {
  const refuses = async ([listen, message]: [string, string]): Promise<void> => {
    const data = await tempDirectory();
    const done = await belayEnds(["tracker", "--insecure", "--listen", listen, "--data", data, "--log-level", "error"]);
    expect(done.code).toBe(64);
    expect(done.stderr).toContain(`belay: Cannot listen on `);
    expect(done.stderr).toContain(message);
    expect(done.stderr).not.toMatch(/E[A-Z]{5,}|getaddrinfo|listen E/);
  };
  await Promise.all(unusable.map(refuses));
});

const misspelt: [url: string, why: string][] = [
  ["http://127.0.0.1:0", "no server listens on port 0"],
  ["http://127.0.0.1:65536", "it is not a URL"],
  ["http://[::1", "it is not a URL"],
  ["http://::1:7070", "it is not a URL"],
  ["http://[fe80::1%25eth0]:7070", "an address with a zone is not supported"],
  ["http://[fe80::1%eth0]:7070", "an address with a zone is not supported"],
  ["http://me:secret@127.0.0.1:1", "credentials belong in --token-file"],
  ["http://127.0.0.1:1/path", "it has more than host and port"],
  ["unix:relative", "the socket's path must be absolute"],
];

it("Agent and commands reject an address with the same message", async () => {
  const refuse = async ([url, why]: [string, string]): Promise<void> => {
    const [run, jobs] = await Promise.all([
      belayEnds(["run", "--tracker", url, "--", "true"]),
      belayEnds(["jobs", "--tracker", url]),
    ]);
    expect(run.code).toBe(64);
    expect(run.stderr).toContain(why);
    expect(jobs).toEqual(run);
  };
  await Promise.all(misspelt.map(refuse));
});
