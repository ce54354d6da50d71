import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { VERSION } from "../../src/base/version.ts";

test("the version in the code is that of the package", () => {
  const manifest = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  expect(VERSION).toBe(manifest.version);
});
