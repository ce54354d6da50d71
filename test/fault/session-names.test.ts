import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { tempDirectory, TrackerProcess } from "../helpers/cli.ts";

const MAIN = path.resolve(import.meta.dirname, "../../dist/cli/main.js");

/** Why a process cannot have its own host names here. Undefined: it can. */
function noMountNamespace(): string | undefined {
  try {
    execFileSync("unshare", ["-m", "true"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "a mount namespace cannot be made: not root";
  }
}

const skip = noMountNamespace();

test.skipIf(skip !== undefined)(
  `An agent follows its tracker's name to another address${skip === undefined ? "" : ` (skipped: ${skip})`}`,
  async () => {
    const first = await TrackerProcess.start({ listen: "127.0.0.2:0" });
    const { port } = new URL(first.url);
    const directory = await tempDirectory();
    const hosts = path.join(directory, "hosts");
    const go = path.join(directory, "go");
    writeFileSync(hosts, "127.0.0.2 tracker.test\n");
    const script = `echo ready; until [ -e ${go} ]; do sleep 0.05; done; echo moved`;
    // In its own mount namespace, so that only this agent sees these names.
    const run = spawn(
      "unshare",
      // biome-ignore format: a command line
      ["-m", "sh", "-c", 'mount --bind "$1" /etc/hosts && shift && exec "$@"', "sh", hosts, process.execPath, MAIN,
        "run", "--tracker", `http://tracker.test:${port}`, "--job", "j1", "--", "sh", "-c", script],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    onTestFinished(() => void run.kill("SIGKILL"));
    const ended = new Promise((resolve) => run.once("close", resolve));
    let output = "";
    const ready = new Promise<void>((resolve) => {
      run.stdout.on("data", (data: Buffer) => {
        output += data.toString();
        if (output.includes("ready")) resolve();
      });
    });
    await ready;
    await first.cli.kill("SIGKILL");
    writeFileSync(hosts, "127.0.0.3 tracker.test\n");
    const second = await TrackerProcess.start({ data: first.data, listen: `127.0.0.3:${port}` });
    writeFileSync(go, "");
    expect(await ended).toBe(0);
    expect((await second.ends("logs", "j1")).stdout).toBe("ready\nmoved\n");
    expect((await second.ends("show", "j1")).stdout).toMatch(/Log .*, complete/);
  },
);
