import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { MetricSample, ResourceUsage } from "../../../../src/gen/belay/v1/job_pb.ts";
import { EndReason } from "../../../../src/gen/belay/v1/job_pb.ts";
import { MODES } from "../driver.ts";
import { eventually } from "../facts.ts";
import { LOCAL_MODES, start } from "../local.ts";

// What a load has used is what it says itself by the kernel's own account of it, never what a clock on the wall would
// make of it: the machine has other work.

/** Uses so many milliseconds of processor time. */
const BURN = `use Time::HiRes qw(clock_gettime CLOCK_PROCESS_CPUTIME_ID);
sub burn { my $end = clock_gettime(CLOCK_PROCESS_CPUTIME_ID) + $_[0] / 1000; 1 while clock_gettime(CLOCK_PROCESS_CPUTIME_ID) < $end }
sub print_used { my ($u, $s, $cu, $cs) = times; printf "%.2f\\n", $u + $s + $cu + $cs }
`;
const TWO_LOOPS = `${BURN} for (1, 2) { fork or do { burn(1000); exit } } 1 while wait > 0; print_used`;
const MANY_CHILDREN = `${BURN} for (1 .. 200) { fork or do { burn(15); exit }; wait } print_used`;
/** The parent of each burner has ended already, so that no process of the job waits for it. Each prints what it used. */
const ORPHANS = `${BURN} $| = 1; pipe(R, W);
for (1 .. 20) { fork or do { close R; fork and exit; burn(50); syswrite W, "x" x 50; exit }; wait }
close W; my $ms = 0; while (sysread R, my $x, 4096) { $ms += length $x } printf "%.2f\\n", $ms / 1000`;
const HOLD_300_MB = `my $n = 300_000_000; my $x = 'a' x $n; open F, "/proc/self/status"; /VmRSS:\\s+(\\d+)/ and $rss = $1 while <F>;
$| = 1; print $rss * 1024, "\\n"; sleep 1000`;
const MIB_WRITTEN = 100;

const directory = diskDirectory();
afterAll(() => directory !== undefined && fs.rmSync(directory, { recursive: true, force: true }));

const withoutCgroup = MODES.find(({ containment }) => containment === "cgroup")?.skip;
it.skipIf(withoutCgroup === undefined)(`no cgroup is available here, so loads are not measured in one`, () => {
  expect(LOCAL_MODES).not.toContain("cgroup");
});

describe.each(LOCAL_MODES)("The measured use of a job in a %s", { timeout: 120_000 }, (containment) => {
  const inCgroup = containment === "cgroup";

  it("is right within 5 % for two busy loops", async () => {
    const { printed, usage, samples } = await measure(TWO_LOOPS, containment);
    expect(printed).toBeGreaterThan(1.95);
    near(usage.cpuSeconds, printed, 0.05);
    near(samples.at(-1)?.cpuSeconds, printed, 0.05);
    expect(usage.exact).toBe(inCgroup);
  });

  it("is right within 5 % for 200 short-lived children that use 3 s of processor together", async () => {
    const { printed, usage, samples } = await measure(MANY_CHILDREN, containment);
    expect(printed).toBeGreaterThan(2.95);
    near(usage.cpuSeconds, printed, 0.05);
    near(samples.at(-1)?.cpuSeconds, printed, 0.05);
  });

  const orphans = "what short-lived processes used that no process waited for";
  const least = inCgroup ? 0.95 : 0;
  it(`${inCgroup ? "includes all of" : "says that it may lack some of"} ${orphans}`, async () => {
    const { printed, usage } = await measure(ORPHANS, containment);
    expect(printed).toBe(1);
    expect(usage.cpuSeconds).toBeGreaterThan(printed * least);
    // The parents, and forking, are not in what the orphans tell.
    expect(usage.cpuSeconds).toBeLessThan(printed * 1.3);
    expect(usage.exact).toBe(inCgroup);
  });

  it("is right within 5 % for 300 MB held", async () => {
    const job = start({ command: ["perl", "-e", HOLD_300_MB] }, { containment });
    const reported = await eventually(
      "the load says its size",
      () => Number(/^(\d+)\n/.exec(String(job.stdout()))?.[1]) || false,
    );
    const sample = await job.job.sample();
    expect(reported).toBeGreaterThan(300_000_000);
    near(Number(sample?.memoryBytes), reported, 0.05);
    job.job.end({ reason: EndReason.CANCELED, message: "" });
    const { usage } = await job.result;
    near(Number(usage?.peakMemoryBytes), reported, 0.05);
  });

  it.skipIf(directory === undefined)(
    "is right within 5 % for 100 MB written, which are not taken for memory",
    async () => {
      const file = path.join(directory ?? "", `written-${containment}`);
      const command = [
        "sh",
        "-c",
        `dd if=/dev/zero of=${file} bs=1M count=${MIB_WRITTEN} conv=fsync 2>/dev/null; rm ${file}; echo 1`,
      ];
      const { usage, samples } = await measureCommand(command, containment);
      near(Number(usage.diskWrittenBytes), MIB_WRITTEN << 20, 0.05);
      near(Number(samples.at(-1)?.diskWrittenBytes), MIB_WRITTEN << 20, 0.05);
      expect(Number(usage.peakMemoryBytes)).toBeLessThan(30 << 20);
    },
  );

  it.skipIf(directory === undefined)(
    "is right within 5 % for what its own agent's children wrote besides: nothing",
    async () => {
      // Another job of the same agent process writes at the same time.
      const file = path.join(directory ?? "", `other-${containment}`);
      const other = measureCommand(
        ["dd", "if=/dev/zero", `of=${file}`, "bs=1M", "count=40", "conv=fsync"],
        containment,
      );
      const { usage } = await measureCommand(["sh", "-c", "sleep 0.2; echo 1"], containment);
      expect(Number(usage.diskWrittenBytes)).toBeLessThan(1 << 20);
      near(Number((await other).usage.diskWrittenBytes), 40 << 20, 0.05);
    },
  );
});

function near(value: number | undefined, expected: number, share: number): void {
  expect(value).toBeGreaterThan(expected * (1 - share));
  expect(value).toBeLessThan(expected * (1 + share));
}

interface Measured {
  /** The last number that the load printed. */
  readonly printed: number;
  readonly usage: ResourceUsage;
  readonly samples: MetricSample[];
}

function measure(perl: string, containment: (typeof LOCAL_MODES)[number]): Promise<Measured> {
  return measureCommand(["perl", "-e", perl], containment);
}

async function measureCommand(command: string[], containment: (typeof LOCAL_MODES)[number]): Promise<Measured> {
  const samples: MetricSample[] = [];
  const job = start({ command }, { containment }, { usage: (sample) => samples.push(sample) });
  const { usage } = await job.result;
  if (usage === undefined) throw new Error("The result has no usage");
  return { printed: Number(String(job.stdout()).trim().split("\n").at(-1)), usage, samples };
}

/** A directory on a disk, not in memory; undefined: none was found. */
function diskDirectory(): string | undefined {
  const tmpfs = 0x0102_1994;
  for (const place of [os.tmpdir(), "/var/tmp", process.cwd()]) {
    try {
      if (fs.statfsSync(place).type !== tmpfs) return fs.mkdtempSync(path.join(place, "belay-loads-"));
    } catch {
      // The next one.
    }
  }
  return undefined;
}
