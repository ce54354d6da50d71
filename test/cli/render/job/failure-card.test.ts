import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { cardFacts, cardRemarks, tailText } from "../../../../src/cli/render/job/failure-card.ts";
import { type FailureCard, FailureCardSchema, LogStream } from "../../../../src/gen/belay/v1/job_pb.ts";

const MiB = 1n << 20n;

function card(init: Omit<Partial<FailureCard>, "tail" | "$typeName">, tail = ""): FailureCard {
  return create(FailureCardSchema, { tailStream: LogStream.STDERR, ...init, tail: Buffer.from(tail) });
}

describe("The text of a failure card", () => {
  it("has the tail without colours, control sequences and overwritten parts of lines", () => {
    const tail = "10 %\r50 %\r100 %\r\n\u001b[31mred\u001b[0m\u001b[2J\u0007 é\n\n\ttab\n\n";
    expect(tailText(card({}, tail), "  ")).toBe(
      "  Last lines of standard error\n    | 100 %\n    | red^[[2J^G é\n    |\n    | \ttab\n",
    );
  });

  it("has at most 40 lines of it, the last", () => {
    const lines = Array.from({ length: 50 }, (_, i) => `line ${i}`);
    const text = tailText(card({}, lines.join("\n")), "");
    expect(text.split("\n").slice(1, 3)).toEqual(["  | line 10", "  | line 11"]);
    expect(text.trimEnd().split("\n")).toHaveLength(41);
  });

  it("has no heading without a tail", () => {
    expect(tailText(card({ tailStream: LogStream.UNSPECIFIED }), "")).toBe("");
    expect(tailText(card({}, "\n\n"), "")).toBe("");
  });

  it("shows control characters in its own sentences", () => {
    expect(cardFacts(card({ hint: "a\u001b[2J", killed: "b\n" }))).toEqual([
      ["Memory", ""],
      ["Killed", "b\\n, by the kernel for want of memory"],
      ["Hint", "a^[[2J"],
    ]);
  });

  it("remarks on memory only where it was tight", () => {
    const roomy = card({ peakMemoryBytes: 79n * MiB, memoryLimitBytes: 100n * MiB, hint: "h" }, "last\n");
    expect(cardRemarks(roomy, false)).toBe("belay: Hint: h\n");
    expect(cardRemarks(roomy, true)).toBe("Last lines of standard error\n  | last\nbelay: Hint: h\n");
    const tight = card({ peakMemoryBytes: 80n * MiB, memoryLimitBytes: 100n * MiB });
    expect(cardRemarks(tight, false)).toBe("belay: Memory: 80.0 MiB at most, limit 100.0 MiB\n");
    expect(cardRemarks(undefined, true)).toBe("");
  });
});
