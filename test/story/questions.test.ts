import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { DEMO_TIME } from "../../src/cli/demo/demo-time.ts";
import { belayEnds } from "../helpers/cli.ts";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const README = read("README.md");
const rows = [...read("docs/questions.md").matchAll(/^\| ([A-Z][^|]*\?) \| ([^|]+) \| ([^|]+) \|$/gm)].map(
  ([, question = "", answer = "", where = ""]) => ({ question, answer, where }),
);

/** Headings of the README as the anchors that GitHub makes of them. */
const anchors = [...README.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w -]/g, "")
    .replaceAll(" ", "-"),
);

it("docs/questions.md has ten first questions", () => {
  expect(rows).toHaveLength(10);
});

it.each(rows)("$question is answered where docs/questions.md says", async ({ answer, where }) => {
  expect(answer).not.toBe("");
  const links = [...where.matchAll(/\]\(\.\.\/README\.md#([\w-]+)\)/g)].map(([, anchor]) => anchor);
  expect(links.length).toBeGreaterThan(0);
  expect(anchors).toEqual(expect.arrayContaining(links));
  for (const [, command = "", text = ""] of where.matchAll(/`belay ([\w-]*) ?--help`: "([^"]+)"/g)) {
    const help = await belayEnds(command === "" ? ["--help"] : [command, "--help"]);
    expect(help.stdout).toContain(text);
  }
  // Commands and flags that the answer mentions exist.
  for (const [, command = "", rest = ""] of answer.matchAll(/`belay ([a-z]+)([^`]*)`/g)) {
    const help = await belayEnds([command, "--help"]);
    expect(help.code).toBe(0);
    for (const [flag] of rest.replace(/ -- .*/, "").matchAll(/--[a-z-]+/g)) expect(help.stdout).toContain(flag);
  }
});

it("README, questions and help state the same time for the demo", async () => {
  expect(README).toContain(`which takes ${DEMO_TIME}`);
  expect(read("docs/questions.md")).toContain(DEMO_TIME);
  expect((await belayEnds(["--help"])).stdout).toContain(DEMO_TIME);
  expect((await belayEnds(["demo", "--help"])).stdout.replaceAll(/\s+/g, " ")).toContain(DEMO_TIME);
});
