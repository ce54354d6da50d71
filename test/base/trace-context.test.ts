import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatTraceParent, isTraceState, parseTraceParent } from "../../src/base/trace-context.ts";

const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const span = "00f067aa0ba902b7";

describe("A traceparent", () => {
  it("names a span", () => {
    expect(parseTraceParent(`00-${trace}-${span}-01`)).toEqual({ traceId: trace, spanId: span, sampled: true });
    expect(parseTraceParent(`00-${trace}-${span}-00`)).toEqual({ traceId: trace, spanId: span, sampled: false });
  });

  it("shows by its last bit whether it is recorded, whatever the other bits are", () => {
    expect(parseTraceParent(`00-${trace}-${span}-fe`)?.sampled).toBe(false);
    expect(parseTraceParent(`00-${trace}-${span}-ff`)?.sampled).toBe(true);
  });

  it("of a later version may have more fields", () => {
    expect(parseTraceParent(`cc-${trace}-${span}-01-what-the-future-brings`)).toMatchObject({ traceId: trace });
    expect(parseTraceParent(`cc-${trace}-${span}-01`)).toMatchObject({ spanId: span });
  });

  it.each([
    ["nothing", ""],
    ["a version that is forbidden", `ff-${trace}-${span}-01`],
    ["a trace of zeros", `00-${"0".repeat(32)}-${span}-01`],
    ["a span of zeros", `00-${trace}-${"0".repeat(16)}-01`],
    ["upper case", `00-${trace.toUpperCase()}-${span}-01`],
    ["a digit too many", `00-${trace}0-${span}-01`],
    ["a digit too few", `00-${trace}-${span.slice(1)}-01`],
    ["no flags", `00-${trace}-${span}`],
    ["more than version 00 has", `00-${trace}-${span}-01-more`],
    ["more without a dash", `cc-${trace}-${span}-01.more`],
    ["white space", ` 00-${trace}-${span}-01`],
    ["a line after it", `00-${trace}-${span}-01\n`],
    ["a NUL", `00-${trace}-${span}-01\0`],
  ])("is none with %s", (_, text) => {
    expect(parseTraceParent(text)).toBeUndefined();
  });

  it("is parsed as it was formatted", () => {
    const hex = (length: number) =>
      fc
        .array(fc.integer({ min: 0, max: 15 }), { minLength: length, maxLength: length })
        .map((digits) => digits.map((digit) => digit.toString(16)).join(""))
        .filter((text) => !/^0*$/.test(text));
    fc.assert(
      fc.property(hex(32), hex(16), fc.boolean(), (traceId, spanId, sampled) => {
        const parent = { traceId, spanId, sampled };
        expect(parseTraceParent(formatTraceParent(parent))).toEqual(parent);
      }),
    );
  });
});

describe("A tracestate", () => {
  it.each([
    "",
    "rojo=00f067aa0ba902b7",
    "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
    "rojo=1 , \t congo=2,",
    "fw529a3039@dt=FfffFf;_",
    "1a-2b@v=x y",
    Array.from({ length: 32 }, (_, i) => `k${i}=1`).join(","),
  ])("may be %j", (text) => {
    expect(isTraceState(text)).toBe(true);
  });

  it.each([
    ["no value", "rojo"],
    ["an empty value", "rojo="],
    ["an upper-case key", "Rojo=1"],
    ["a key twice", "rojo=1,rojo=2"],
    ["a line in it", "rojo=1\n"],
    ["what is not ASCII", "rojo=é"],
    ["33 members", Array.from({ length: 33 }, (_, i) => `k${i}=1`).join(",")],
    ["more than 512 bytes", `${"k=".padEnd(254, "v")},${"l=".padEnd(258, "v")}`],
  ])("is none with %s", (_, text) => {
    expect(isTraceState(text)).toBe(false);
  });
});
