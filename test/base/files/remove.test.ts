import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { removeAll } from "../../../src/base/files/remove.ts";

it("removes a directory with everything in it, and ignores what cannot be removed", () => {
  const directory = fs.mkdtempSync(join(tmpdir(), "belay-test-"));
  fs.mkdirSync(join(directory, "a", "b"), { recursive: true });
  fs.symlinkSync(join(directory, "loop"), join(directory, "loop"));
  expect(removeAll(join(directory, "loop", "x"))).toBe(false);
  expect(removeAll(directory)).toBe(true);
  expect(fs.existsSync(directory)).toBe(false);
  expect(removeAll(directory)).toBe(true);
});
