import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { writeFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { LogStream } from "../../src/gen/belay/v1/job_pb.ts";
import { JobService } from "../../src/gen/belay/v1/job_service_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { belay, belayEnds, type Cli, tempDirectory, TrackerProcess } from "../helpers/cli.ts";
import { REVERSE_PROXIES, type ReverseProxy, startReverseProxy } from "../helpers/reverse-proxy.ts";

/** Seconds without a byte after which the proxies end a stream. */
const CUT_AFTER = 2;
/** Script of a job that prints a line, is silent for longer than that, and prints another line. */
const SILENT = `echo begin; sleep ${2 * CUT_AFTER}; echo end`;

const isMissing = REVERSE_PROXIES.some(({ missing }) => missing);

/** Tests a situation behind each of the proxies, concurrently: the tests mostly wait. */
function behindAll(title: string, situation: (proxy: ReverseProxy) => Promise<void>): void {
  it.skipIf(isMissing)(title, { timeout: 60_000 }, async () => {
    await Promise.all(REVERSE_PROXIES.map(situation));
  });
}

describe("Behind nginx and HAProxy", () => {
  behindAll("idle streams are not ended, because the tracker sends keepalives", async (proxy) => {
    const tracker = await TrackerProcess.start({ args: ["--keepalive-interval", "300ms"] });
    const front = await startReverseProxy(proxy, tracker.url, CUT_AFTER);
    const follow = (command: string, ...args: string[]): Cli => belay([command, "--tracker", front, ...args]);
    // A job without an agent: for its followers there is nothing to send, not even an attempt.
    await belayEnds(["submit", "--tracker", front, "--job", "later", "--", "sh", "-c", "echo late"]);
    const waiting = [
      follow("logs", "-f", "later"),
      follow("wait", "later"),
      follow("metrics", "-f", "--json", "later"),
    ];
    const idle = rawStreams(front);
    const run = follow("run", "--job", "j1", "--", "sh", "-c", SILENT);
    await run.says(/begin/);
    const streams = [follow("logs", "-f", "j1"), follow("wait", "j1"), follow("metrics", "-f", "--json", "j1")];
    expect(await run.ended).toBe(0);
    for (const stream of streams)
      expect({ code: await stream.ended, stderr: stream.stderr }).toEqual({ code: 0, stderr: "" });
    expect(streams[0]?.stdout).toBe("begin\nend\n");
    const late = await belayEnds(["run", "--tracker", front, "--job", "later"]);
    expect(late).toMatchObject({ code: 0, stderr: "" });
    for (const stream of waiting)
      expect({ code: await stream.ended, stderr: stream.stderr }).toEqual({ code: 0, stderr: "" });
    expect(waiting[0]?.stdout).toBe("late\n");
    for (const stream of idle) expect(await stream.end()).toBeGreaterThan(3);
    // No stream was opened again: each call ended once.
    expect(await endedCalls(tracker)).toEqual({ OpenSession: 2, ReadLogs: 3, ReadMetrics: 2 });
  });

  behindAll("every following command goes on after the proxy has ended its stream", async (proxy) => {
    const tracker = await TrackerProcess.start({ args: ["--keepalive-interval", "0"] });
    const front = await startReverseProxy(proxy, tracker.url, CUT_AFTER);
    const go = path.join(await tempDirectory(), "go");
    const script = `echo begin; until [ -e ${go} ]; do sleep 0.1; done; echo end`;
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", script);
    await run.says(/begin/);
    const follow = (command: string, ...args: string[]): Cli =>
      belay([command, "--tracker", front, "--connect-timeout", "1s", ...args]);
    const streams = [follow("logs", "-f", "j1"), follow("wait", "j1"), follow("metrics", "-f", "--json", "j1")];
    const cut = async (): Promise<number> => (await endedCalls(tracker))["ReadLogs"] ?? 0;
    await expect.poll(cut, { timeout: 30_000 }).toBeGreaterThan(1);
    await writeFile(go, "");
    for (const stream of streams) expect({ code: await stream.ended, stream }).toMatchObject({ code: 0 });
    expect(streams[0]?.stdout).toBe("begin\nend\n");
  });

  behindAll("every command waits for a tracker that is away for a while", async (proxy) => {
    const tracker = await TrackerProcess.start();
    const front = await startReverseProxy(proxy, tracker.url, 10);
    // A long timeout for a busy machine: the test is whether they wait, not how long.
    const start = (command: string, ...args: string[]): Cli =>
      belay([command, "--tracker", front, "--connect-timeout", "60s", ...args]);
    const run = start("run", "--job", "j1", "--", "sh", "-c", "echo begin; exec sleep 60");
    await run.says(/begin/);
    const watch = start("jobs", "--watch");
    await watch.says(/j1/);
    const follow = [start("logs", "-f", "j1"), start("wait", "j1"), start("metrics", "-f", "j1"), watch];
    await follow[0]?.says(/begin/);
    await tracker.cli.kill("SIGKILL");
    const calls = [
      start("jobs"),
      start("show", "j1"),
      start("logs", "j1"),
      start("submit", "--job", "j2", "--", "true"),
      start("status", "j1"),
      start("top", "--once"),
      start("run", "--job", "j3", "--", "true"),
    ];
    const away = calls.slice(0, -1);
    for (const call of away) await call.says(/cannot reach its tracker now \(HTTP 50[234]\); trying for /);
    await tracker.killAndRestart();
    for (const call of calls) expect({ code: await call.ended, stderr: call.stderr }).toMatchObject({ code: 0 });
    expect((await belayEnds(["cancel", "--wait", "--tracker", front, "j1"])).code).toBe(0);
    expect(await run.ended).toBe(143);
    expect(await Promise.all(follow.slice(0, 3).map(({ ended }) => ended))).toEqual([0, 143, 0]);
    await watch.says(/j1 {2}CANCELED/);
  });
});

/** Streams of a client of the contract on which only keepalives are sent. `end` returns the number of answers. */
function rawStreams(front: string): { end(): Promise<number> }[] {
  const createConnection = (): net.Socket => net.connect(front.slice("unix:".length));
  const transport = createGrpcTransport({ baseUrl: "http://localhost", nodeOptions: { createConnection } });
  const jobs = createClient(JobService, transport);
  return [
    counted((options) => createClient(Health, transport).watch({ service: "" }, options)),
    counted((options) => jobs.watchJob({ jobId: "later" }, options)),
    counted((options) => jobs.watchJobs({ filter: { name: "no such job" } }, options)),
    counted((options) => jobs.readLogs({ jobId: "later", streams: [LogStream.AGENT], follow: true }, options)),
  ];
}

function counted(open: (options: { signal: AbortSignal }) => AsyncIterable<unknown>): { end(): Promise<number> } {
  const stop = new AbortController();
  let answers = 0;
  const done = (async () => {
    for await (const _ of open(stop)) answers++;
  })();
  done.catch(() => undefined);
  return {
    end: async () => {
      // A stream that was ended throws here.
      await Promise.race([done, Promise.resolve()]);
      stop.abort();
      await done.catch(() => undefined);
      return answers;
    },
  };
}

/** Number of ended calls of each method, with any code. */
async function endedCalls(tracker: TrackerProcess): Promise<Record<string, number>> {
  const text = await (await fetch(`${tracker.url}/metrics`)).text();
  const counts: Record<string, number> = {};
  for (const [, method = "", count] of text.matchAll(/^belay_calls_total\{.*method="(\w+)".*\} (\d+)$/gm)) {
    if (!["OpenSession", "ReadLogs", "ReadMetrics"].includes(method)) continue;
    counts[method] = (counts[method] ?? 0) + Number(count);
  }
  return counts;
}
