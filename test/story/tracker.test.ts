import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { Certificate } from "../helpers/certificate.ts";
import { certificate, noOpenssl } from "../helpers/certificate.ts";
import { belay, belayEnds, tempDirectory } from "../helpers/cli.ts";
import { AtTerminal, noTerminal } from "../helpers/terminal.ts";
import { ScriptedAgent } from "../../src/testing/index.ts";

describe("An operator of a tracker", () => {
  test("writes its flags into a file, and changes tokens with SIGHUP while it runs", async () => {
    const directory = await tempDirectory();
    const file = (name: string): string => path.join(directory, name);
    await writeFile(file("operators"), "first-token\n");
    await writeFile(
      file("tracker.yaml"),
      `listen: 127.0.0.1:0\ndata: ${file("data")}\noperator-tokens: [${file("operators")}]\nheartbeatInterval: 5s\n`,
    );
    const tracker = belay(["tracker", "--config", file("tracker.yaml"), "--log-format", "json"]);
    const [, url = ""] = await tracker.says(/^listening on (\S+), data in /m);
    const jobs = (): ReturnType<typeof belayEnds> =>
      belayEnds(["jobs", "--tracker", url, "--token-file", file("mine"), "--connect-timeout", "1ms"]);
    await writeFile(file("mine"), "second-token");
    expect((await jobs()).stderr).toMatch(/token is not known/);
    await writeFile(file("operators"), "second-token\n");
    tracker.child.kill("SIGHUP");
    await tracker.says(/Read certificates and tokens again/);
    expect(await jobs()).toMatchObject({ code: 0 });
    await writeFile(file("operators"), "# none\n");
    tracker.child.kill("SIGHUP");
    await tracker.says(/Cannot read certificates and tokens again/);
    expect(await jobs()).toMatchObject({ code: 0 });
    expect(tracker.stderr).not.toMatch(/first-token|second-token/);
    expect(await tracker.kill("SIGTERM")).toBe(0);

    const checked = await belayEnds(["check", file("data")]);
    expect(checked).toMatchObject({ code: 0, stdout: "0 jobs, 0 logs of 0 B: nothing is missing\n" });
  });

  test.skipIf(noOpenssl)("changes the certificate with SIGHUP while it runs", async () => {
    const directory = await tempDirectory();
    const file = (name: string): string => path.join(directory, name);
    const put = async ({ cert, key }: Certificate, trusted: string): Promise<void> => {
      await Promise.all([writeFile(file("cert"), cert), writeFile(file("key"), key), writeFile(file(trusted), cert)]);
    };
    await put(certificate("first"), "first");
    const files = ["--data", file("data"), "--tls-cert", file("cert"), "--tls-key", file("key")];
    const tracker = belay(["tracker", "--listen", "127.0.0.1:0", ...files]);
    const [, url = ""] = await tracker.says(/^listening on (https:\S+), data in /m);
    const jobs = (trusted: string): ReturnType<typeof belayEnds> =>
      belayEnds(["jobs", "--tracker", url, "--ca", file(trusted), "--connect-timeout", "1ms"]);
    expect(await jobs("first")).toMatchObject({ code: 0 });
    await put(certificate("second"), "second");
    tracker.child.kill("SIGHUP");
    await tracker.says(/Read certificates and tokens again/);
    expect(await jobs("second")).toMatchObject({ code: 0 });
    expect(await jobs("first")).toMatchObject({ code: 125 });
    await writeFile(file("key"), "no key");
    tracker.child.kill("SIGHUP");
    await tracker.says(/Cannot read certificates and tokens again/);
    expect(await jobs("second")).toMatchObject({ code: 0 });
  });

  test.skipIf(noTerminal)(
    "at a terminal changes tokens with SIGHUP, and the tracker stops in order when the terminal is closed",
    async () => {
      const directory = await tempDirectory();
      const file = (name: string): string => path.join(directory, name);
      await writeFile(file("agents"), "first-token\n");
      const flags = ["--listen", "127.0.0.1:0", "--data", file("data"), "--agent-tokens", file("agents")];
      await using tracker = new AtTerminal(["tracker", ...flags]);
      const [, url = ""] = await tracker.says(/listening on (\S+), data in /);
      await writeFile(file("agents"), "second-token\n");
      process.kill(tracker.pid, "SIGHUP");
      await tracker.says(/Read certificates and tokens again/);
      const agent = ScriptedAgent.connect({ url, jobId: "j", token: "second-token" });
      await agent.hello({ spec: { command: ["true"] } });
      tracker.closeTerminal();
      expect((await agent.next("goodbye")).message).toBe("The tracker stops");
      expect(await tracker.ended).toBe(0);
      expect(await belayEnds(["tracker", "check", file("data")])).toMatchObject({ code: 0 });
    },
  );

  test.skipIf(noTerminal)("under nohup keeps it running when the terminal is closed", async () => {
    const directory = await tempDirectory();
    const flags = ["--listen", `unix:${directory}/socket`, "--data", path.join(directory, "data")];
    await using tracker = new AtTerminal(["tracker", ...flags], { nohup: directory });
    const jobs = (): ReturnType<typeof belayEnds> => belayEnds(["jobs", "--tracker", `unix:${directory}/socket`]);
    const logged = (text: string): Promise<void> =>
      expect
        .poll(() => readFile(path.join(directory, "nohup.out"), "utf8").catch(String), { timeout: 20_000 })
        .toContain(text);
    await logged("listening on");
    tracker.closeTerminal();
    await logged("Read certificates and tokens again");
    expect(await jobs()).toMatchObject({ code: 0 });
    process.kill(tracker.pid, "SIGTERM");
    expect(await tracker.ended).toBe(0);
  });

  test.each([
    ["lissten: 127.0.0.1:0", /Cannot use "lissten" of ".*": no flag has this name: did you mean "listen"\?/],
    ["lease: soon", /Cannot parse "lease" of ".*" "soon": expected a duration/],
    ["- listen", /Cannot use ".*": expected flags and their values/],
    ["a: [", /Cannot read ".*" as YAML/],
  ])("sees what is wrong in the file: %s", async (text, message) => {
    const config = path.join(await tempDirectory(), "tracker.yaml");
    await writeFile(config, text);
    const { code, stderr } = await belayEnds(["tracker", "--config", config]);
    expect(stderr).toMatch(message);
    expect(code).toBe(64);
  });
});
