import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { execaSync, execa } from "execa";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MOST_FILE_BYTES } from "../../../../src/agent/report/redact/redact-file.ts";
import { Mask } from "../../../../src/agent/report/redact/mask.ts";
import { Redaction } from "../../../../src/agent/report/redact/redaction.ts";
import { LogStream } from "../../../../src/gen/belay/v1/job_pb.ts";

let directory = "";
let warnings: string[] = [];
let passed: { stream: LogStream; step: number; text: string }[] = [];
/** What the agent makes: a pipe, or where that cannot be, a file. */
let how: "pipe" | "file" = "pipe";
let mask: Mask;
let redaction: Redaction;

function start(environment: Record<string, string> = {}, redact: string[] = [], keep: string[] = []): void {
  mask = new Mask();
  mask.setEnvironment(environment, { redact, keep });
  const pipe = path.join(directory, "redact");
  if (how === "pipe") execaSync("mkfifo", [pipe]);
  mask.begin((message) => warnings.push(message), pipe);
  mask.stepStarted();
  redaction = new Redaction(
    mask,
    (stream, step, data) => passed.push({ stream, step, text: Buffer.from(data).toString() }) > 0,
  );
}

/** What is left of a text that a job prints on standard output. */
function print(text: string, stream: LogStream = LogStream.STDOUT, step = 1): string {
  passed = [];
  redaction.pass(stream, step, Buffer.from(text), 0n);
  return passed.map((piece) => piece.text).join("");
}

/** Runs a real shell with the file in its environment. */
function shell(script: string): void {
  execaSync("sh", ["-c", script], { env: mask.environment });
}

const file = (): string => mask.environment["BELAY_REDACT"] ?? "";

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "belay-test-"));
  warnings = [];
  passed = [];
});

afterEach(() => {
  mask.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

describe("a job's output", () => {
  test("has no credentials of its environment, on any stream or step", () => {
    start({ API_TOKEN: "tok-123456", CITY: "Bregenz", DB: "postgres://me:pass-word@db/x" }, ["CITY"]);
    expect(print("tok-123456 in Bregenz at postgres://me:pass-word@db/x\n")).toBe(
      "*** in *** at postgres://me:***@db/x\n",
    );
    expect(print("tok-123456\n", LogStream.STDERR, 2)).toBe("***\n");
    expect(passed[0]).toMatchObject({ stream: LogStream.STDERR, step: 2 });
  });

  test("is put together within each stream, not across streams", () => {
    start({ API_TOKEN: "tok-123456" });
    print("tok-");
    expect(print("123456\n", LogStream.STDERR)).toBe("123456\n");
    expect(print("123456\n")).toBe("***\n");
  });

  test("that is held back is passed on by the flush, under its own stream and step", () => {
    start({ API_TOKEN: "tok-123456" });
    print("a tok-", LogStream.STDERR, 1);
    passed = [];
    redaction.flush();
    expect(passed).toEqual([{ stream: LogStream.STDERR, step: 1, text: "tok-" }]);
  });

  test("warnings name variables, never values", () => {
    start({ API_TOKEN: "abcde" }, ["OTHER"]);
    expect(warnings).toEqual([
      "Cannot redact OTHER: it is not set",
      "Cannot redact API_TOKEN: its value is shorter than 6 bytes",
    ]);
  });

  test("and other texts about the job are redacted the same way", () => {
    start({ API_TOKEN: "tok-123456" });
    expect(mask.text("curl -H 'Authorization: tok-123456' tok-")).toBe("curl -H 'Authorization: ***' tok-");
  });
});

describe.each(["pipe", "file"] as const)("a secret that comes up while the job runs, by a %s", (kind) => {
  beforeEach(() => void (how = kind));

  test("is redacted in everything printed after it was appended", () => {
    start();
    expect(print("new-secret-1\n")).toBe("new-secret-1\n");
    shell('echo new-secret-1 >> "$BELAY_REDACT"');
    expect(print("new-secret-1\n")).toBe("***\n");
    shell('echo new-secret-2 >> "$BELAY_REDACT"');
    expect(print("new-secret-1, new-secret-2\n")).toBe("***, ***\n");
  });

  test("needs no newline behind it", () => {
    start();
    shell('printf %s new-secret-1 >> "$BELAY_REDACT"');
    expect(print("new-secret-1\n")).toBe("***\n");
    shell('echo "-and-more" >> "$BELAY_REDACT"');
    expect(print("new-secret-1 new-secret-1-and-more\n")).toBe("*** ***\n");
  });

  const changes: { name: string; script: string }[] = [
    { name: "overwritten by one of the same length", script: 'echo new-secret-2 > "$BELAY_REDACT"' },
    { name: "truncated", script: ': > "$BELAY_REDACT"; echo new-secret-2 >> "$BELAY_REDACT"' },
    { name: "removed and made again", script: 'rm "$BELAY_REDACT"; echo new-secret-2 >> "$BELAY_REDACT"' },
    { name: "replaced", script: 'echo new-secret-2 > "$BELAY_REDACT.new"; mv "$BELAY_REDACT.new" "$BELAY_REDACT"' },
  ];
  test.for(changes)("stays one when the file is $name, and the next is seen", ({ script }) => {
    start();
    shell('echo new-secret-1 >> "$BELAY_REDACT"');
    expect(print("new-secret-1 new-secret-2\n")).toBe("*** new-secret-2\n");
    shell(script);
    expect(print("new-secret-1 new-secret-2\n")).toBe("*** ***\n");
    shell('echo new-secret-3 >> "$BELAY_REDACT"');
    expect(print("new-secret-1 new-secret-2 new-secret-3\n")).toBe("*** *** ***\n");
  });

  test("is seen from many processes that append at the same time", async () => {
    start();
    const script = 'for i in 1 2 3 4 5 6 7 8 9 10; do echo "secret-$0-$i-" >> "$BELAY_REDACT"; done';
    const shells = Array.from({ length: 8 }, (_, n) =>
      execa("sh", ["-c", script, String(n)], { env: mask.environment }),
    );
    const over = new AbortController();
    const all = Promise.all(shells).then(() => over.abort());
    while (!over.signal.aborted) {
      print("meanwhile\n");
      await new Promise(setImmediate);
    }
    await all;
    const every = Array.from({ length: 80 }, (_, n) => `secret-${n % 8}-${1 + Math.floor(n / 8)}-`);
    expect(print(every.join(" "))).toBe(every.map(() => "***").join(" "));
  });

  test("is known before what a process prints after it, over a real pipe", async () => {
    start();
    const script =
      'i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo "s-$$-$i-x" >> "$BELAY_REDACT"; echo "got s-$$-$i-x"; done';
    const job = execa("sh", ["-c", script], { env: mask.environment, buffer: false, encoding: "buffer" });
    job.stdout.on("data", (data: Uint8Array) => redaction.pass(LogStream.STDOUT, 1, data, 0n));
    await job;
    redaction.flush();
    expect(passed.map(({ text }) => text).join("")).toBe("got ***\n".repeat(300));
  });

  test("is redacted though several were appended without a newline between them", () => {
    start();
    shell(
      'printf %s new-secret-1 >> "$BELAY_REDACT"; printf %s other-value >> "$BELAY_REDACT"; printf %s x-third-9 >> "$BELAY_REDACT"',
    );
    expect(print("new-secret-1, other-value, x-third-9, new-secret\n")).toBe("***, ***, ***, ***\n");
    expect(print("what else begins with new- or ends with -value\n")).toBe(
      "what else begins with new- or ends with -value\n",
    );
  });

  test("ends with its step", () => {
    start();
    shell('printf %s new-secret-1 >> "$BELAY_REDACT"');
    mask.stepOver();
    shell('printf %s six-66 >> "$BELAY_REDACT"');
    expect(print("new-secret-1 six-66\n")).toBe("*** ***\n");
  });

  test("of which there are too many does no harm: one warning, and the first ones are redacted", async () => {
    start();
    shell('echo new-secret-1 > "$BELAY_REDACT"');
    expect(print("new-secret-1\n")).toBe("***\n");
    for (let n = 0; n < 2; n++) {
      const script = `head -c ${MOST_FILE_BYTES * 2} /dev/zero | tr '\\0' x >> "$BELAY_REDACT"`;
      await execa("sh", ["-c", script], { env: mask.environment });
      expect(print("new-secret-1\n")).toBe("***\n");
    }
    expect(warnings.filter((warning) => warning.includes("64 KiB"))).toHaveLength(1);
  });

  test("that is too short is left, with one warning that does not show it", () => {
    start();
    shell('printf "ab\\n\\ncd\\n" >> "$BELAY_REDACT"');
    expect(print("ab cd\n")).toBe("ab cd\n");
    expect(warnings).toEqual(["Cannot redact a line of $BELAY_REDACT: it is shorter than 6 bytes"]);
  });
});

describe("a secret written by the pipe", () => {
  beforeEach(() => void (how = "pipe"));

  test("is not lost to >, however often and soon the next one comes", () => {
    start();
    shell('for i in 1 2 3 4 5; do echo "new-secret-$i" > "$BELAY_REDACT"; done');
    expect(print("new-secret-1 new-secret-2 new-secret-3 new-secret-4 new-secret-5\n")).toBe("*** *** *** *** ***\n");
  });

  test("does not block the job, though it prints nothing meanwhile", async () => {
    start();
    const script =
      'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "a-secret-that-is-long-enough" > "$BELAY_REDACT"; done';
    await execa("sh", ["-c", script], { env: mask.environment });
    expect(print("a-secret-that-is-long-enough\n")).toBe("***\n");
  });
});

describe("the file for further secrets", () => {
  beforeEach(() => void (how = "pipe"));

  test.each([
    { kind: "pipe", mode: 0o222 },
    { kind: "file", mode: 0o622 },
  ] as const)("is a $kind for all to write, for no other user to read, and gone at the end", ({ kind, mode }) => {
    how = kind;
    start();
    expect(fs.statSync(file()).mode & 0o777).toBe(mode);
    mask.close();
    expect(fs.readdirSync(directory)).toEqual([]);
    expect(print("still passed on\n")).toBe("still passed on\n");
  });

  const obstacles: { name: string; script: string }[] = [
    { name: "a directory", script: 'rm "$BELAY_REDACT"; mkdir "$BELAY_REDACT"' },
    { name: "a link", script: 'rm "$BELAY_REDACT"; ln -s /dev/zero "$BELAY_REDACT"' },
  ];
  test.for(obstacles)("may become $name: output goes on, with one warning", ({ script }) => {
    start({ API_TOKEN: "tok-123456" });
    shell(script);
    for (let n = 0; n < 3; n++) expect(print("tok-123456\n")).toBe("***\n");
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^Cannot read all of \$BELAY_REDACT/);
  });

  test("is made again with its directory when both are gone", () => {
    start();
    shell('rm -r "$(dirname "$BELAY_REDACT")"');
    mask.stepOver();
    shell('echo new-secret-1 >> "$BELAY_REDACT"');
    expect(print("new-secret-1\n")).toBe("***\n");
    expect(warnings).toEqual([]);
  });

  test("is not needed where it cannot be made", () => {
    directory = path.join(directory, "no-directory");
    fs.writeFileSync(directory, "");
    how = "file";
    start({ API_TOKEN: "tok-123456" });
    expect(warnings).toEqual([
      "Cannot read all of $BELAY_REDACT: it cannot be opened, nor made again; what is written to it is not redacted",
    ]);
    expect(print("tok-123456\n")).toBe("***\n");
    directory = path.dirname(directory);
  });
});
