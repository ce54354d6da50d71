import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { cgroupIo, cgroupPressure, parseIoStat } from "../../../../src/agent/job/tree/cgroup-stats.ts";
import { makeContainment } from "../../../../src/agent/job/tree/containment.ts";
import { LOCAL_MODES } from "../local.ts";

describe("The statistics of a cgroup", () => {
  it("add up what was read from and written to devices, without counting stacked devices twice", () => {
    // The layout is that of the kernel's documentation (cgroup-v2.rst, "io.stat").
    const text = `8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0
8:0 rbytes=90430464 wbytes=299008000 rios=8950 wios=1252 dbytes=50331648 dios=3021
253:0 rbytes=90430464 wbytes=299008000 rios=8950 wios=1252 dbytes=0 dios=0
7:0
`;
    expect(parseIoStat(text, (device) => device === "253:0")).toEqual({ read: 91889664, written: 613781504 });
    expect(parseIoStat("", () => false)).toEqual({ read: 0, written: 0 });
  });

  it("are unknown when the kernel does not keep them", () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "belay-cgroup-"));
    expect(cgroupIo(directory)).toBeUndefined();
    expect(cgroupPressure(directory, "cpu")).toBeUndefined();
    fs.writeFileSync(path.join(directory, "memory.pressure"), "some avg10=12.50 avg60=1.32 avg300=2.32 total=7\n");
    expect(cgroupPressure(directory, "memory")).toBe(0.125);
    fs.rmSync(directory, { recursive: true });
  });

  it.skipIf(!LOCAL_MODES.includes("cgroup"))("have a job's own pressure, which is 0 when it does nothing", () => {
    const { cgroup, tree } = makeContainment("cgroup");
    const known = fs.existsSync(path.join(cgroup, "cpu.pressure"));
    expect(cgroupPressure(cgroup, "cpu")).toBe(known ? 0 : undefined);
    tree.close();
  });
});
