// Finds idioms that a reader whose first language is not English reads twice. `npx node test/lint/plain-english.ts`
// lists them.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** An idiom, and what to write instead. */
export interface Idiom {
  readonly found: RegExp;
  readonly instead: string;
}

/** Idioms, each with what to write instead. */
export const IDIOMS: readonly Idiom[] = [
  { found: /\b(?:who(?:so)?ever|whomever)\b/i, instead: "name it: the caller, the reader, the client" },
  { found: /\b(?:nobody|somebody)\b/i, instead: "name it: no client, another process, a user" },
  {
    found: /\b(?:is|are|was|were|be) to be \w+(?:ed|en|own|un|ut|one|ade|old|pt|nt|ad)\b/i,
    instead: "must be, can be, will be",
  },
  { found: /\bto be had\b/i, instead: "available" },
  { found: /\b(?:is|are|was|were) none\b/i, instead: "there is no …; does not count; is not one" },
  { found: /\b(?:is|are) no (?:belay|directory|directories|tracker)\b/i, instead: "is not a …" },
  { found: /\banew\b/i, instead: "again" },
  { found: /\bby and by\b/i, instead: "later, gradually" },
  { found: /\ball the same\b/i, instead: "anyway" },
  { found: /\b(?:come|comes|came|coming) to (?:its|an|no|their|the) end\b/i, instead: "end" },
  { found: /\ba word (?:from|of|to)\b/i, instead: "a command or message" },
  { found: /\bwithout a word\b/i, instead: "silently, without a message" },
  { found: /\b(?:is|are|was|were|be|been) told\b/i, instead: "is notified, is asked, receives" },
  { found: /\bmistakes? (?:of ours|in Belay)\b/i, instead: "a bug in Belay" },
  { found: /\bin vain\b/i, instead: "without success, for nothing" },
  { found: /\b(?:stands?|stood|standing) still\b/i, instead: "is stopped, is blocked, does not read" },
  { found: /\b(?:holds?|held|holding) up\b/i, instead: "delays" },
  { found: /\bonce more\b/i, instead: "again, a second time" },
  { found: /\bfor good\b/i, instead: "permanently, does not come back" },
  { found: /\btells\b/i, instead: "shows, reports, prints" },
  { found: /\bknows (?:no|nothing|of)\b/i, instead: "has no, does not support, was notified of" },
  { found: /\bfor people\b/i, instead: "for users" },
  { found: /\bof ours\b/i, instead: "our, Belay's" },
  { found: /\bthe way of (?:a|the)\b/i, instead: "path of" },
  { found: /\bby way of\b/i, instead: "through" },
  { found: /\b(?:hence|thus|lest|whence|therein|thereof|wherein)\b/i, instead: "so, so that … not" },
];

/** A place where an idiom stands. */
export interface Hit {
  /** From the root of the project. */
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly instead: string;
}

/** The idioms in a text. */
export function idiomsIn(file: string, text: string): Hit[] {
  return text.split("\n").flatMap((line, index) =>
    IDIOMS.filter(({ found }) => found.test(line)).map(({ instead }) => ({
      file,
      line: index + 1,
      text: line.trim(),
      instead,
    })),
  );
}

/** The idioms in everything that a user or a reader of the code meets. @param root of the project */
export function idiomsOfProject(root: string): Hit[] {
  const files = execFileSync("git", ["ls-files", "src", "docs", "proto", "README.md", ".ci"], {
    cwd: root,
    encoding: "utf8",
  });
  return files
    .split("\n")
    .filter((file) => /\.(?:ts|md|proto|sh)$|^\.ci\/run$/.test(file) && !file.startsWith("src/gen/"))
    .flatMap((file) => idiomsIn(file, readFileSync(join(root, file), "utf8")));
}

if (import.meta.main) {
  const hits = idiomsOfProject(resolve(import.meta.dirname, "../.."));
  for (const { file, line, text, instead } of hits)
    process.stdout.write(`${file}:${line}: ${text}\n    → ${instead}\n`);
  process.stdout.write(`${hits.length} idioms\n`);
}
