import { describe, expect, it } from "vitest";
import { parseApps, parseDevices } from "../../../../../src/agent/job/usage/gpu/parse.ts";
import {
  APPS_CONTAINER,
  APPS_H200,
  APPS_WINDOWS,
  H100_MIG,
  NO_DRIVER,
  NOT_SUPPORTED,
  TWO_DEVICES,
  UNKNOWN_ERROR,
  VERSION_MISMATCH,
} from "../../../../fixtures/nvidia-smi.ts";

const MIB = 2 ** 20;

describe("The answer of nvidia-smi about devices", () => {
  it("is parsed for each device", () => {
    expect(parseDevices(TWO_DEVICES)).toEqual([
      {
        index: 0,
        uuid: "GPU-1080",
        name: "GeForce GTX 1080 Ti",
        utilization: 1,
        memoryUsedBytes: 10356 * MIB,
        memoryTotalBytes: 11175 * MIB,
        temperatureCelsius: 67,
        powerWatts: 280.72,
      },
      expect.objectContaining({ index: 1, name: "GeForce GTX 1060 6GB", temperatureCelsius: 64, powerWatts: 121.51 }),
    ]);
  });

  it("has no utilization for a device that is partitioned", () => {
    expect(parseDevices(H100_MIG.devices)).toEqual([
      expect.objectContaining({
        name: "NVIDIA H100 80GB HBM3",
        utilization: undefined,
        memoryUsedBytes: 11125 * MIB,
        powerWatts: 433.78,
      }),
    ]);
  });

  it.each([
    ["[Not Supported]", NOT_SUPPORTED, { utilization: undefined, temperatureCelsius: 52, powerWatts: undefined }],
    ["[Unknown Error]", UNKNOWN_ERROR, { utilization: 1, temperatureCelsius: 56, powerWatts: undefined }],
    ["ERR!", "0, GPU-1, X, ERR!, ERR!, 100, ERR!, ERR!\n", { utilization: undefined, memoryUsedBytes: undefined }],
    [
      "[N/A] for the memory it shares",
      "0, GPU-1, NVIDIA GB10, 3, [N/A], [N/A], 40, 5.1\n",
      { memoryTotalBytes: undefined },
    ],
  ])("leaves out a value that is %s", (_what, text, expected) => {
    expect(parseDevices(text)).toEqual([expect.objectContaining(expected)]);
  });

  it("may contain a name with a comma", () => {
    expect(parseDevices("3, GPU-1, Quadro, the other, 1, 2, 3, 4, 5\n")).toEqual([
      expect.objectContaining({ index: 3, name: "Quadro, the other", utilization: 0.01, powerWatts: 5 }),
    ]);
  });

  it("is empty on a machine without devices", () => {
    expect(parseDevices("")).toEqual([]);
    expect(parseDevices("\n")).toEqual([]);
  });

  it.each([VERSION_MISMATCH, NO_DRIVER, "\u0000\u0001garbage", "0, GPU-1\n"])("is rejected when it is %j", (text) => {
    expect(() => parseDevices(text)).toThrow(/^no device in "/);
  });
});

describe("The answer of nvidia-smi about processes", () => {
  it("is parsed for each process", () => {
    expect(parseApps(APPS_H200).map(({ pid, memoryBytes }) => [pid, memoryBytes])).toEqual([
      [10525, 1542 * MIB],
      [10529, 818 * MIB],
      [10550, 14410 * MIB],
    ]);
  });

  it("may lack a process's memory or pid", () => {
    expect(parseApps(APPS_WINDOWS)).toEqual([expect.objectContaining({ pid: 2056, memoryBytes: undefined })]);
    expect(parseApps(APPS_CONTAINER)).toEqual([expect.objectContaining({ pid: undefined, memoryBytes: undefined })]);
  });

  it("is empty when no process runs", () => {
    expect(parseApps("")).toEqual([]);
    expect(parseApps("No running processes found\n")).toEqual([]);
  });
});
