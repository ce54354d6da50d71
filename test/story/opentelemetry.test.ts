import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { belay, belayEnds, type CliOptions, tempDirectory } from "../helpers/cli.ts";
import { OtlpCollector } from "../helpers/otlp-collector.ts";

const submitter = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/** Starts a tracker with its own environment. */
async function tracker(options: Pick<CliOptions, "env" | "nodeFlags">, ...args: string[]) {
  const data = await tempDirectory();
  const cli = belay(["tracker", "--listen", "127.0.0.1:0", "--data", data, ...args], options);
  const [, url = ""] = await cli.says(/^listening on (\S+), data in /m);
  return { cli, url };
}

describe("A user of OpenTelemetry", { timeout: 60_000 }, () => {
  it("sees a job below the span from which it was submitted, with its resource use", async () => {
    const collector = await OtlpCollector.start();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_EXPORTER_OTLP_HEADERS: "x-key=k1" };
    const { cli, url } = await tracker(
      { env: { ...env, OTEL_SERVICE_NAME: "batch" } },
      "--otlp-metrics-interval",
      "100ms",
    );
    const go = path.join(await tempDirectory(), "go");
    const script = `echo "$TRACEPARENT"; until [ -e ${go} ]; do sleep 0.05; done`;
    const job = ["--job", "j1", "--name", "train", "--metrics-interval", "100ms", "--", "sh", "-c", script];
    const parent = { env: { TRACEPARENT: submitter } };
    expect((await belayEnds(["submit", "--tracker", url, ...job], parent)).code).toBe(0);
    const run = belay(["run", "--tracker", url, "--job", "j1"], { env: { TRACEPARENT: "of the worker" } });
    await collector.until(() => collector.latest("belay.job.memory.usage", ({ value }) => value > 0));
    await writeFile(go, "");
    expect(await run.ended).toBe(0);
    const [span, attempt] = [await collector.span("job train"), await collector.span("attempt 1")];
    expect(span).toMatchObject({ traceId: submitter.split("-")[1], parentSpanId: submitter.split("-")[2] });
    expect(span.resource).toMatchObject({ "service.name": "batch" });
    expect(run.stdout).toBe(`00-${span.traceId}-${attempt.spanId}-01\n`);
    expect(collector.headers.every((headers) => headers["x-key"] === "k1")).toBe(true);
    expect((await belayEnds(["show", "--tracker", url, "j1"])).stdout).toMatch(
      new RegExp(`^Trace +${span.traceId}$`, "m"),
    );
    expect(await cli.kill("SIGTERM")).toBe(0);
  });

  it("can name the endpoint in the tracker's file of flags", async () => {
    const collector = await OtlpCollector.start();
    const config = path.join(await tempDirectory(), "tracker.yaml");
    await writeFile(config, `otlp-endpoint: ${collector.endpoint}\notlp-metrics-interval: 0\n`);
    const { url } = await tracker({}, "--config", config);
    expect((await belayEnds(["run", "--tracker", url, "--name", "x", "--", "true"])).code).toBe(0);
    await collector.span("job x");
    expect(collector.points).toEqual([]);
  });

  it("can switch off the export of a tracker, whatever the environment says", async () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "no address" };
    const { cli } = await tracker({ env }, "--otlp-endpoint", "");
    expect(await cli.kill("SIGTERM")).toBe(0);
  });

  it("sees at once what is wrong with an endpoint", async () => {
    const given = await belayEnds(["tracker", "--otlp-endpoint", "localhost:4317"]);
    expect(given.stderr).toContain('Cannot use the OTLP endpoint "localhost:4317": expected a URL such as');
    expect(given.code).toBe(64);
  });
});

describe("A user without OpenTelemetry", { timeout: 60_000 }, () => {
  it("has jobs with a trace anyway, and a tracker that loads nothing of OpenTelemetry", async () => {
    const directory = await tempDirectory();
    const hook = path.join(directory, "hook.cjs");
    await writeFile(
      hook,
      `const fs = require("fs");
       const read = fs.readFileSync;
       const files = [];
       fs.readFileSync = (file, ...rest) => (files.push(String(file)), read(file, ...rest));
       process.on("exit", () => fs.writeFileSync(process.env.LOADED, files.join("\\n")));`,
    );
    const loaded = (name: string) => ({
      nodeFlags: ["--require", hook],
      env: { LOADED: path.join(directory, name) },
    });
    const read = (name: string) => readFile(path.join(directory, name), "utf8");
    const without = await tracker(loaded("without"));
    const script = 'echo "$TRACEPARENT"';
    const run = await belayEnds(["run", "--tracker", without.url, "--", "sh", "-c", script], loaded("agent"));
    expect(run.stdout).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01\n$/);
    await without.cli.kill("SIGTERM");
    expect(await read("agent")).not.toContain("opentelemetry");
    expect(await read("without")).toContain("server-");
    expect(await read("without")).not.toContain("opentelemetry");
    const collector = await OtlpCollector.start();
    const exporting = await tracker(loaded("with"), "--otlp-endpoint", collector.endpoint);
    await exporting.cli.kill("SIGTERM");
    expect(await read("with")).toContain("opentelemetry");
  });
});
