import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkVersions } from "../../../src/cli/bundle/patched-dependencies.ts";

const manifest = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
  dependencies: Record<string, string>;
};

describe("Packages that the bundle patches", () => {
  it("are pinned in package.json to the versions that the patches were written for", () => {
    expect(() => checkVersions((name) => manifest.dependencies[name] ?? "none")).not.toThrow();
  });

  it.each(["@bufbuild/protobuf", "@grpc/grpc-js"])("fail the build when %s has another version", (changed) => {
    const other = (name: string): string => (name === changed ? "9.9.9" : (manifest.dependencies[name] ?? ""));
    expect(() => checkVersions(other)).toThrow(`Cannot bundle ${changed} 9.9.9`);
  });
});
