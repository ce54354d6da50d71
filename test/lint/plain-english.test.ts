import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { IDIOMS, idiomsIn, idiomsOfProject } from "./plain-english.ts";

/** Places that may keep a listed word, each with its reason. */
const EXCEPTIONS: readonly (readonly [file: string, text: string, reason: string])[] = [
  ["src/base/secrets/secret-names.ts", "nobody", "a value that variables are compared with"],
];

describe("What users and readers of the code meet", () => {
  it("has no idiom that a stranger reads twice", () => {
    const hits = idiomsOfProject(resolve(import.meta.dirname, "../.."));
    const left = hits.filter(
      (hit) => !EXCEPTIONS.some(([file, text]) => hit.file === file && hit.text.toLowerCase().includes(text)),
    );
    expect(left.map(({ file, line, text, instead }) => `${file}:${line}: ${text} → ${instead}`)).toEqual([]);
  });

  it.each([
    "Told to whoever asks.",
    "It is read anew.",
    "No file is to be had.",
    "It is no directory.",
    "The job came to its end.",
    "The agent is told.",
    "The reader stands still and holds up the job.",
    "It tells the caller for good.",
    "The agent dials once more.",
    "A text for people.",
  ])("would be found to have one in %j", (sentence) => {
    expect(idiomsIn("a.ts", `// ${sentence}`)).not.toEqual([]);
  });

  it("names for each what to write instead", () => {
    expect(IDIOMS.filter(({ instead }) => instead === "")).toEqual([]);
  });
});
