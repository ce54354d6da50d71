import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, it } from "vitest";
import { TcpProxy } from "../fault/tcp-proxy.ts";
import { belay, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

it("A job that ends because its agent has lost the tracker reports why", async () => {
  const tokens = path.join(await tempDirectory(), "tokens");
  await writeFile(tokens, "a-token-of-16-characters\n");
  const [tracker, empty, closed] = await Promise.all([
    TrackerProcess.start(),
    TrackerProcess.start(),
    TrackerProcess.start({ args: ["--agent-tokens", tokens] }),
  ]);
  const cases = [
    { fail: (proxy: TcpProxy) => proxy.goAway(), why: /^The tracker was away for 1.0s: .*ECONNREFUSED/ },
    {
      fail: (proxy: TcpProxy) => proxy.divert(empty.url),
      why: /^The tracker refused the agent for 1.0s: Job "j1" does not exist \(NOT_FOUND\)$/,
    },
    {
      fail: (proxy: TcpProxy) => proxy.divert(closed.url),
      why: /^The tracker refused the agent for 1.0s: A token is needed.* \(UNAUTHENTICATED\)$/,
    },
  ];
  const flags = ["--on-disconnect", "cancel-after=1s", "--flush-timeout", "1s", "--connect-timeout", "0"];
  await Promise.all(
    cases.map(async ({ fail, why }, index) => {
      const proxy = await TcpProxy.start(tracker.url);
      const job = `j${index}`;
      const command = ["--job", job, "--", "sh", "-c", "echo ready; exec sleep 60"];
      const run = belay(["run", "--tracker", proxy.url, ...flags, ...command]);
      await run.says(/ready/);
      fail(proxy);
      proxy.cut("rst");
      expect(await run.ended).toBe(125);
      const report = run.stderr.replaceAll(`"${job}"`, '"j1"');
      expect(/^belay: Job j\d CANCELED \(DISCONNECTED, [^)]*\): (.*)$/m.exec(report)?.[1]).toMatch(why);
      expect(/Not everything reached the tracker \((.*)\); the rest is lost/.exec(report)?.[1]).toMatch(why);
    }),
  );
});
