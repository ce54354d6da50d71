import { spawn } from "node:child_process";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { AGENT_RULES } from "../../src/agent/compile-options.ts";
import { FLUSH_RULES } from "../../src/agent/delivery/flush.ts";
import type { AgentOptions, Logger, Tracker, TrackerOptions } from "../../src/index.ts";
import {
  CallbackError,
  createLogger,
  flushSpool,
  JobSpecSchema,
  LogCompleteness,
  Outcome,
  runAgent,
  startTracker,
} from "../../src/index.ts";
import { readLog, ScriptedAgent, startTestTracker, waitForState } from "../../src/testing/index.ts";
import { RELOAD_RULES, TRACKER_RULES } from "../../src/tracker/option-rules.ts";
import type { Rule } from "../../src/base/options.ts";
import { tempDirectory } from "../helpers/cli.ts";

/** Drain time-out, so long that a test in which a close waits for it fails. Milliseconds. */
const DRAIN_MS = 20_000;
/** Longest time of a close that does not wait. Milliseconds. */
const AT_ONCE_MS = 3_000;

const library = path.resolve(import.meta.dirname, "../../dist/lib/index.js");

/** Runs a program in its own process. @returns its standard output, exit code and duration */
async function program(source: string): Promise<{ stdout: string; code: number | null; ms: number }> {
  const text = `import * as belay from ${JSON.stringify(library)};\n${source}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", text], { stdio: ["ignore", "pipe", "inherit"] });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (piece: string) => (stdout += piece));
  const begin = performance.now();
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { stdout, code, ms: performance.now() - begin };
}

describe("a program that has closed its tracker ends at once", () => {
  const connections: Record<string, (url: URL) => Promise<unknown>> = {
    "with nothing connected": () => Promise.resolve(),
    "with a connection that has sent nothing": (url) => connected(net.connect(Number(url.port), url.hostname)),
    "with half of a request": async (url) => {
      const socket = net.connect(Number(url.port), url.hostname);
      await connected(socket);
      socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n");
    },
    "with half of an HTTP/2 preface": async (url) => {
      const socket = net.connect(Number(url.port), url.hostname);
      await connected(socket);
      socket.write("PRI * HTTP/2.0\r\n");
    },
    "with HTTP/2 and no call": async (url) => {
      const socket = net.connect(Number(url.port), url.hostname);
      await connected(socket);
      socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    },
    "with a connection that is kept for the next request": (url) =>
      new Promise((resolve) => {
        const agent = new http.Agent({ keepAlive: true });
        http.get(new URL("/healthz", url), { agent }, (response) => response.resume().once("end", resolve));
      }),
  };

  it.each(Object.entries(connections))("%s", async (_, connect) => {
    const tracker = await startTracker({
      listen: "127.0.0.1:0",
      dataDirectory: await tempDirectory(),
      drainTimeout: DRAIN_MS,
    });
    await connect(new URL(tracker.address));
    const begin = performance.now();
    await tracker.close();
    expect(performance.now() - begin).toBeLessThan(AT_ONCE_MS);
  });

  it("also after an agent has run in it, or has failed", async () => {
    const data = await tempDirectory();
    const { stdout, code, ms } = await program(`
      const tracker = await belay.startTracker({ listen: "127.0.0.1:0", dataDirectory: ${JSON.stringify(data)}, drainTimeout: ${DRAIN_MS} });
      const { result } = await belay.runAgent({ tracker: tracker.address, jobId: "j1", spec: { command: ["true"] } });
      const refused = await belay.runAgent({ tracker: tracker.address, jobId: "j1" }).catch((error) => error.code);
      console.log(result.exitCode, refused);
      await tracker.close();
    `);
    expect(stdout).toBe("0 TRACKER_REFUSED\n");
    expect(code).toBe(0);
    expect(ms).toBeLessThan(DRAIN_MS / 2);
  });

  it("but a call under way has time to end", async () => {
    const tracker = await startTestTracker({ drainTimeout: DRAIN_MS });
    await tracker.client.createJob({ jobId: "j1", spec: { command: ["true"] } });
    const requested = Promise.withResolvers<http.ClientRequest>();
    const answered = new Promise<number>((resolve, reject) => {
      const request = http.request(
        new URL("/belay.v1.JobService/GetJob", tracker.url),
        { method: "POST", headers: { "content-type": "application/json" } },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      request.once("error", reject);
      request.write('{"jobId":');
      request.once("socket", (socket) => socket.once("connect", () => setImmediate(() => requested.resolve(request))));
    });
    const request = await requested.promise;
    // A later call on another connection has been answered: the tracker has read the first one's headers by then.
    await tracker.client.getJob({ jobId: "j1" });
    const closing = tracker.close();
    request.end('"j1"}');
    expect(await answered).toBeGreaterThan(0);
    await closing;
  });
});

function connected(socket: net.Socket): Promise<unknown> {
  socket.on("error", () => undefined);
  return new Promise((resolve) => socket.once("connect", resolve));
}

/** Values that no option accepts. */
const NEVER: readonly unknown[] = [Number.NaN, null, Symbol("x"), Number.NEGATIVE_INFINITY, [Symbol("x")]];

/** The paths of all options of a table, nested ones included. */
function options(rules: Readonly<Record<string, Rule>>, prefix: readonly string[] = []): (readonly string[])[] {
  return Object.entries(rules).flatMap(([name, { fields }]) => {
    const at = [...prefix, name];
    return [at, ...(fields === undefined ? [] : options(fields, at))];
  });
}

/** Options with another value at a path. @param base the other options */
function withValue(base: object, [name = "", ...rest]: readonly string[], value: unknown): object {
  if (rest.length === 0) return { ...base, [name]: value };
  const inner: unknown = Reflect.get(base, name);
  return { ...base, [name]: withValue(inner ?? {}, rest, value) };
}

describe("an option that cannot be used is named, with what was expected and what was found", () => {
  const inherited = { openFiles: 1024, ignoredSignals: 0, blockedSignals: 0 };
  const agent = { tracker: "http://127.0.0.1:9", jobId: "j1", connectTimeout: 100, inherited };
  const flush = { directory: "/nonexistent", tracker: "http://127.0.0.1:9" };
  const pem = Buffer.from("");
  // Never called: the options are rejected before.
  const client = {} as Parameters<typeof readLog>[0];
  const tracker = {
    dataDirectory: "/nonexistent/belay",
    listen: "127.0.0.1:0",
    tls: { cert: pem, key: pem },
    tokens: { agent: ["a"], operator: [] },
    otlp: { endpoint: "http://127.0.0.1:9" },
  };
  const tables: [string, Readonly<Record<string, Rule>>, object, (options: never) => Promise<unknown>][] = [
    ["runAgent", AGENT_RULES, agent, runAgent],
    ["flushSpool", FLUSH_RULES, flush, flushSpool],
    ["startTracker", TRACKER_RULES, tracker, startTracker],
  ];

  for (const [name, rules, base, call] of tables) {
    it.each(options(rules).map((at) => [at.join("."), at] as const))(`${name}: %s`, async (shown, at) => {
      for (const value of NEVER) {
        await expect(call(withValue(base, at, value) as never)).rejects.toMatchObject({
          code: "BAD_USAGE",
          message: expect.stringMatching(
            new RegExp(
              `^Cannot use option "${shown}" of ${name}: expected .+, found (NaN|null|-Infinity|a symbol|a list)$`,
            ),
          ) as string,
        });
      }
    });

    it.each([[undefined], [null], [5], ["text"]])(`${name}(%s)`, async (given) => {
      await expect(call(given as never)).rejects.toMatchObject({
        code: "BAD_USAGE",
        message: expect.stringMatching(`^Cannot use the options of ${name}: expected an object, found `) as string,
      });
    });

    it(`${name}({}) names a missing option`, async () => {
      await expect(call({} as never)).rejects.toMatchObject({
        code: "BAD_USAGE",
        message: expect.stringMatching(
          /^Cannot use option "(tracker|directory|dataDirectory)" of .+ found nothing$/,
        ) as string,
      });
    });
  }

  const wrong: [keyof AgentOptions, unknown, string][] = [
    ["connectTimeout", -1, "expected a number of milliseconds, 0 or more, found -1"],
    ["connectTimeout", "5s", 'expected a number of milliseconds, 0 or more, found "5s"'],
    ["flushTimeout", Number.POSITIVE_INFINITY, "expected a number of milliseconds, 0 or more, found Infinity"],
    ["flushTimeout", 1e300, "expected a number of milliseconds, 0 or more, found 1e+300"],
    ["spoolLimit", 0.5, "expected a whole number of bytes, 0 or more, found 0.5"],
    ["spoolLimit", 5n, "expected a whole number of bytes, 0 or more, found 5n"],
    ["labels", { a: 1 }, "expected an object whose values are texts, found an object"],
    ["environment", { A: 1 }, "expected an object whose values are texts or undefined, found an object"],
    ["onSpoolFull", "wait", 'expected "block", "drop", found "wait"'],
    ["onDisconnect", { kind: "cancel-after" }, "expected { kind:"],
    ["stop", new AbortController(), "expected an AbortSignal, found an object"],
    ["logger", { info: () => undefined }, "expected a Logger, as createLogger makes one, found an object"],
    ["tracker", "", 'expected an address such as "http://127.0.0.1:7070", found ""'],
  ];
  it.each(wrong)("%s: %s", async (name, value, message) => {
    await expect(runAgent({ ...agent, [name]: value })).rejects.toThrow(
      `Cannot use option "${name}" of runAgent: ${message}`,
    );
  });

  it("an option that is undefined counts as left out", async () => {
    const missing = { limits: { streams: undefined }, lease: undefined, retention: { age: undefined } };
    const some = { ...missing, listen: "127.0.0.1:0", dataDirectory: await tempDirectory() };
    await using running = await startTracker(some as unknown as TrackerOptions);
    const { result } = await runAgent({
      tracker: running.address,
      jobId: "j1",
      spec: { command: ["true"] },
      flushTimeout: undefined,
      onOutput: undefined,
    } as unknown as AgentOptions);
    expect(result.outcome).toBe(Outcome.SUCCEEDED);
  });

  it.each<[string, () => unknown]>([
    ["createLogger", () => createLogger({ level: "loud" as never })],
    ["createLogger", () => createLogger({ write: "stderr" as never })],
    ["waitForState", () => waitForState(client, "j1", "DONE" as never)],
    ["waitForState", () => waitForState(client, "j1", "RUNNING", { timeout: Number.NaN })],
    ["readLog", () => readLog(client, "j1", { stream: "output" as never })],
    ["readLog", () => readLog(client, "j1", { timeout: -1 })],
    ["ScriptedAgent.join", () => ScriptedAgent.join({ url: "localhost", jobId: "j1" })],
    ["ScriptedAgent.join", () => ScriptedAgent.join({ url: "http://127.0.0.1:9", jobId: 5 as never })],
  ])("%s (%#)", async (name, call) => {
    await expect((async () => call())()).rejects.toMatchObject({
      code: "BAD_USAGE",
      message: expect.stringMatching(
        new RegExp(`^Cannot use (option|argument) "\\w+" of ${name}: expected .+, found .+$`),
      ) as string,
    });
  });

  it("the options of a tracker's reload are checked in the same way", async () => {
    await using running: Tracker = await startTracker({ listen: "127.0.0.1:0", dataDirectory: await tempDirectory() });
    expect(Object.keys(RELOAD_RULES)).toEqual(["tls", "tokens"]);
    expect(() => running.reload({ tls: { cert: "c" } } as never)).toThrow(
      'Cannot use option "tls.cert" of Tracker.reload: expected a Buffer with the content of a PEM file, found "c"',
    );
  });
});

describe("a spec in a program", () => {
  const broken: [unknown, string][] = [
    [{ command: "ls -l" }, '"command" is "ls -l": expected a list'],
    [{ command: ["ls", 5] }, '"command[1]" is 5: expected a text of valid Unicode'],
    [{ command: ["ls", "\ud800"] }, '"command[1]" is "\\ud800": expected a text of valid Unicode'],
    [{ comand: ["ls"] }, '"comand" is not known: expected name, labels'],
    [{ command: ["ls"], timeout: 5 }, '"timeout" is 5: expected an object'],
    [{ command: ["ls"], timeout: { seconds: 5 } }, '"timeout.seconds" is 5: expected a bigint'],
    [{ command: ["ls"], environment: { A: 1 } }, '"environment["A"]" is 1: expected a text'],
    [{ command: ["ls"], environment: ["A=1"] }, '"environment" is a list: expected an object'],
    [{ command: ["ls"], setup: ["true"] }, '"setup[0]" is "true": expected an object'],
    [{ command: ["ls"], setup: [{ run: 5 }] }, '"setup[0].run" is 5: expected a text'],
    [{ command: ["ls"], memoryLimitBytes: -1n }, '"memoryLimitBytes" is -1n: expected a bigint, 0n or more'],
    [
      { command: ["ls"], memoryLimitBytes: 2n ** 64n },
      '"memoryLimitBytes" is 18446744073709551616n: expected a bigint',
    ],
    [{ command: ["ls"], keepDescendants: "yes" }, '"keepDescendants" is "yes": expected true or false'],
    [{ command: null }, '"command" is null: expected a list'],
    [{ $typeName: "belay.v1.Job" }, 'It is "belay.v1.Job": expected a belay.v1.JobSpec'],
  ];
  it.each(broken)("%o is rejected before anything runs", async (spec, problem) => {
    const given = { tracker: "http://127.0.0.1:9", jobId: "j1", spec } as AgentOptions;
    await expect(runAgent(given)).rejects.toMatchObject({
      code: "BAD_SPEC",
      message: expect.stringContaining(`Cannot use the job's spec: ${problem}`) as string,
    });
  });

  it("may be a message or a plain object", async () => {
    await using tracker = await startTestTracker();
    const fields = { command: ["sh", "-c", "echo $A; exit 3"], environment: { A: "b" }, timeout: { seconds: 60n } };
    for (const [jobId, spec] of [
      ["plain", fields],
      ["message", create(JobSpecSchema, fields)],
    ] as const) {
      const { result } = await runAgent({ tracker: tracker.url, jobId, spec });
      expect(result.exitCode).toBe(3);
      expect(await readLog(tracker.client, jobId)).toBe("b\n");
    }
  });
});

const boom = new Error("boom");

describe("a function of the program that fails is not called again, and the job goes on", () => {
  function fail(): never {
    throw boom;
  }
  const failAsync = (): Promise<void> => Promise.reject(boom);
  const rejects: () => unknown = failAsync;
  const thenable: Promise<void> = new Proxy(Promise.resolve(), { get: () => fail });
  const logger = (broken: object): Logger => {
    const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
    return { ...quiet, child: () => logger(broken), flush: () => Promise.resolve(), ...broken };
  };
  const failing: [string, Partial<AgentOptions>, string][] = [
    ["onOutput throws", { onOutput: fail }, "onOutput"],
    ["onOutput rejects", { onOutput: failAsync }, "onOutput"],
    ["onOutput returns a promise whose members cannot be read", { onOutput: () => thenable }, "onOutput"],
    ["onProgress throws", { onProgress: fail }, "onProgress"],
    ["onProgress rejects", { onProgress: rejects }, "onProgress"],
    ["signals throws", { signals: fail }, "signals"],
    ["the logger throws", { logger: logger({ debug: fail, info: fail }), admin: "127.0.0.1:0" }, "logger.info"],
    ["the logger rejects", { logger: logger({ info: failAsync }), admin: "127.0.0.1:0" }, "logger.info"],
  ];
  it.each(failing)("%s", async (_, broken, name) => {
    await using tracker = await startTestTracker();
    const spec = { command: ["sh", "-c", "echo one; sleep 0.1; echo two; exit 3"] };
    const error: unknown = await runAgent({ tracker: tracker.url, jobId: "j1", spec, ...broken }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(CallbackError);
    expect(error).toMatchObject({
      code: "CALLBACK_FAILED",
      callback: expect.stringMatching(name) as string,
      cause: boom,
      outcome: { attempt: 1, delivered: true, result: { exitCode: 3 } },
    });
    expect(await readLog(tracker.client, "j1")).toBe("one\ntwo\n");
    expect(await readLog(tracker.client, "j1", { stream: "agent" })).toContain(
      `The function "${name}" that Belay was given failed and is not called again: boom. The job goes on\n`,
    );
  });

  it("nor does a function that fails after the job's end change the result", async () => {
    await using tracker = await startTestTracker();
    const options = { tracker: tracker.url, jobId: "j1", spec: { command: ["true"] }, signals: () => fail };
    const { result } = await runAgent(options);
    expect(result.exitCode).toBe(0);
    const { job } = await tracker.client.getJob({ jobId: "j1" });
    expect(job?.attempts[0]?.logCompleteness).toBe(LogCompleteness.COMPLETE);
  });

  it("it is called only once, even if further output arrives", async () => {
    await using tracker = await startTestTracker();
    let calls = 0;
    const onOutput = (): never => {
      calls++;
      throw boom;
    };
    const spec = { command: ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"] };
    await expect(runAgent({ tracker: tracker.url, jobId: "j1", spec, onOutput })).rejects.toThrow("boom");
    expect(calls).toBe(1);
  });

  it("a tracker goes on without its logger, and warns", async () => {
    const data = await tempDirectory();
    const { stdout, code } = await program(`
      process.on("warning", ({ message }) => console.log(message));
      const fail = () => { throw new Error("boom") };
      const logger = { debug: fail, info: fail, warn: fail, error: async () => fail(), child: () => logger, flush: async () => {} };
      const tracker = await belay.startTracker({ listen: "127.0.0.1:0", dataDirectory: ${JSON.stringify(data)}, logger });
      const { result } = await belay.runAgent({ tracker: tracker.address, jobId: "j1", spec: { command: ["true"] } });
      console.log(result.exitCode);
      await tracker.close();
    `);
    const warning = 'The function "logger.info" that startTracker was given failed and is not called again: boom';
    expect(stdout.split("\n").sort()).toEqual(["", "0", warning].sort());
    expect(code).toBe(0);
  });
});
