import { expect, it } from "vitest";
import { asciiOnly } from "../../../src/cli/render/charset.ts";

it.each<[Record<string, string>, boolean]>([
  [{ LANG: "en_US.UTF-8" }, false],
  [{ LANG: "de_DE.utf8" }, false],
  [{ LANG: "C.UTF-8", TERM: "dumb" }, true],
  [{ LANG: "en_US.UTF-8", LC_ALL: "C" }, true],
  [{ LANG: "C", LC_CTYPE: "C.UTF-8", LC_ALL: "" }, false],
  [{ LANG: "de_DE.ISO-8859-1" }, true],
  [{}, true],
])("A terminal with %j gets nothing but ASCII: %s", (env, expected) => {
  expect(asciiOnly(env)).toBe(expected);
});
