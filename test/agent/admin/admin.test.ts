import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { serveAdmin } from "../../../src/agent/admin/admin.ts";
import type { AgentOptions, AgentOutcome } from "../../../src/agent/options.ts";
import { runAgent } from "../../../src/agent/run.ts";
import { Report } from "../../../src/agent/report/report.ts";
import { Mask } from "../../../src/agent/report/redact/mask.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { JobSpecSchema, JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { type ScriptedStream, ScriptedTracker } from "../../helpers/scripted-tracker.ts";

let tracker: ScriptedTracker;
let directory: string;
let stop: AbortController;
let outcome: Promise<AgentOutcome> | undefined;

beforeEach(async () => {
  tracker = await ScriptedTracker.start();
  directory = mkdtempSync(join(tmpdir(), "belay-test-"));
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await outcome?.catch(() => undefined);
  tracker.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Starts an agent whose job prints two lines and waits for the file `go`. @returns where its pages are */
async function agent(admin: string, options: Partial<AgentOptions> = {}): Promise<string> {
  const spec = create(JobSpecSchema, {
    command: ["sh", "-c", `echo one; echo two; until [ -e ${directory}/go ]; do sleep 0.05; done`],
    metricsInterval: durationFromMs(0),
  });
  return new Promise((resolve, reject) => {
    outcome = runAgent({
      tracker: tracker.url,
      jobId: "j1",
      spec,
      admin,
      stop: stop.signal,
      stopFlushTimeout: 100,
      onProgress: (message) => {
        const address = /^pages of this agent at (.+)$/.exec(message)?.[1];
        if (address !== undefined) resolve(address);
      },
      ...options,
    });
    outcome.catch(reject);
  });
}

async function welcomed(): Promise<ScriptedStream> {
  const stream = await tracker.stream();
  stream.welcome();
  stream.behave();
  return stream;
}

/** Gets a page; through a socket, if that is where it is. */
function get(address: string, path: string, method = "GET"): Promise<{ status: number; text: string }> {
  const where = address.startsWith("unix:") ? { socketPath: address.slice("unix:".length) } : new URL(address);
  return new Promise((resolve, reject) => {
    const { hostname, port, socketPath } = where as Partial<URL & { socketPath: string }>;
    const asked = request({ hostname, port, socketPath, path, method, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.once("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asked.once("error", reject).end();
  });
}

async function health(address: string, path = "/healthz"): Promise<{ status: number; is: Record<string, unknown> }> {
  const { status, text } = await get(address, path);
  expect(text.trimEnd()).not.toContain("\n");
  return { status, is: JSON.parse(text) as Record<string, unknown> };
}

/** Asks until an answer is as wanted. */
async function until(address: string, path: string, wanted: (text: string) => boolean): Promise<string> {
  for (;;) {
    const { text } = await get(address, path);
    if (wanted(text)) return text;
  }
}

describe("an agent's own pages", () => {
  it.each(["127.0.0.1:0", "localhost:0", "unix"])("are served at %s until the agent ends", async (where) => {
    const address = await agent(where === "unix" ? `unix:${directory}/admin.sock` : where);
    await welcomed();
    await until(address, "/readyz", (text) => text.includes('"RUNNING"'));
    const { status, is } = await health(address);
    expect(status).toBe(200);
    expect(is).toMatchObject({ job: "j1", attempt: 1, state: "RUNNING", session: "open", connected: true, streams: 1 });
    expect((await get(address, "/readyz")).status).toBe(200);
    writeFileSync(join(directory, "go"), "");
    expect(await outcome).toMatchObject({ delivered: true });
    await expect(get(address, "/healthz")).rejects.toThrow(/ECONNREFUSED|ENOENT/);
    expect(existsSync(join(directory, "admin.sock"))).toBe(false);
  });

  it("say that an agent without a tracker is alive, but not ready", async () => {
    const address = await agent("127.0.0.1:0");
    expect((await health(address, "/readyz")).status).toBe(503);
    const stream = await welcomed();
    await until(address, "/readyz", (text) => text.includes('"RUNNING"'));
    stream.end();
    tracker.close();
    await until(address, "/readyz", (text) => text.includes('"waiting"'));
    const { status, is } = await health(address);
    expect(status).toBe(200);
    expect(is).toMatchObject({ state: "RUNNING", session: "waiting", connected: false });
    expect((await health(address, "/readyz")).status).toBe(503);
  });

  it("have metrics that Prometheus reads", async () => {
    const address = await agent("127.0.0.1:0");
    await welcomed();
    const text = await until(address, "/metrics", (page) => page.includes('log_bytes_total{stream="stdout"} 8'));
    const lines = text.trimEnd().split("\n");
    for (const line of lines)
      expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? -?[\d.e+-]+)$/);
    const values = Object.fromEntries(
      lines.filter((line) => !line.startsWith("#")).map((line) => line.split(/ (?=\S+$)/) as [string, string]),
    );
    expect(values).toMatchObject({
      belay_agent_connected: "1",
      belay_agent_streams_total: "1",
      belay_agent_spool_full: "0",
      'belay_agent_job_state{state="running"}': "1",
      'belay_agent_job_state{state="paused"}': "0",
      'belay_agent_log_bytes_total{stream="stdout"}': "8",
      'belay_agent_log_lines_total{stream="stdout"}': "2",
      'belay_agent_log_dropped_bytes_total{stream="stdout"}': "0",
    });
    expect(Number(values['belay_agent_records_produced_total{lane="events"}'])).toBeGreaterThan(0);
    expect(Number(values['belay_agent_spool_bytes{place="memory"}'])).toBeGreaterThanOrEqual(0);
    expect(Number(values["process_resident_memory_bytes"])).toBeGreaterThan(1_000_000);
    expect(Number(values["process_cpu_seconds_total"])).toBeGreaterThan(0);
  });

  it("are read-only, and there are no others", async () => {
    const address = await agent("127.0.0.1:0");
    expect((await get(address, "/healthz", "POST")).status).toBe(405);
    expect(await get(address, "/")).toEqual({ status: 404, text: "Nothing at /: this is a Belay agent\n" });
  });
});

it("an agent whose session is closed and that does not end is not alive", async () => {
  const end = { kind: "abandoned", why: "The agent was asked to stop" } as const;
  const served = await serveAdmin("127.0.0.1:0", false, {
    jobId: "j1",
    spool: new Report(systemClock, new Mask()).spool,
    jobState: () => JobState.RUNNING,
    session: () => ({ state: { kind: "closed", end }, connected: false, attempt: 1, streams: 3, loopDelay: 0 }),
    streams: () => [],
  });
  expect(await health(served.address)).toMatchObject({ status: 503, is: { session: "closed", streams: 3 } });
  await served.close();
});

describe("an agent that cannot serve its pages runs nothing", () => {
  it.each([
    ["0.0.0.0:0", "BAD_USAGE", 'Refusing to serve the agent\'s pages on "0.0.0.0:0"'],
    ["nowhere", "BAD_USAGE", 'Cannot listen on "nowhere"'],
  ])("at %s", async (admin, code, message) => {
    await expect(agent(admin)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });

  it("at a port that is in use", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const { port } = other.address() as { port: number };
    await expect(agent(`127.0.0.1:${port}`)).rejects.toMatchObject({ code: "ADDRESS_IN_USE" });
    other.close();
  });

  it("but beyond this machine with --insecure", async () => {
    expect(await agent("0.0.0.0:0", { security: { insecure: true } })).toMatch(/^http:\/\/0\.0\.0\.0:\d+$/);
  });
});
