import { expect, test } from "vitest";
import { mayChangeUnseen } from "../../../src/base/files/file-time.ts";

test("A file may change without a trace only for a moment after its last change", () => {
  expect(mayChangeUnseen(Date.now())).toBe(true);
  expect(mayChangeUnseen(Date.now() - 1000)).toBe(false);
});
