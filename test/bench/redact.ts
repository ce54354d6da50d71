// Measures the speed of the redaction, in MB a second of processor time, with 64 KiB chunks:
// `node test/bench/redact.ts`.
import { randomBytes } from "node:crypto";
import { Redactor } from "../../src/agent/report/redact/redactor.ts";
import { Secrets } from "../../src/agent/report/redact/secrets.ts";

const CHUNK = 65_536;
const BUDGET_MS = 1500;

const fill = (line: (n: number) => string): Buffer => {
  let text = "";
  for (let n = 0; text.length < CHUNK; n++) text += `${line(n)}\n`;
  return Buffer.from(text).subarray(0, CHUNK);
};
const logLine = (n: number): string =>
  `2026-11-22T09:03:${n % 60}.123 INFO step ${n} loss=0.${(n * 7919) % 10000} lr=3e-4 path=/data/shard-${n}.parquet`;
const secretsOf = (values: readonly string[]): Secrets => {
  const secrets = new Secrets();
  for (const value of values) secrets.add(value);
  return secrets;
};
const values = (count: number): string[] =>
  Array.from({ length: count }, (_, n) => `${["ghp_", "P@ss w0rd/", ""][n % 3]}${randomBytes(18).toString("base64")}`);

const ten = values(10);
const key = `-----BEGIN KEY-----\n${randomBytes(2400).toString("base64").replaceAll(/.{64}/g, "$&\n")}`;
const log = fill(logLine);
const noise = Buffer.from(randomBytes(CHUNK).toString("base64")).subarray(0, CHUNK);

const cases: [name: string, secrets: Secrets, text: Buffer, chunk?: number][] = [
  ["no secrets", secretsOf([]), log],
  ["10 secrets, log lines without them", secretsOf(ten), log],
  ["10 secrets, base64 without them", secretsOf(ten), noise],
  ["10 secrets, bytes without them", secretsOf(ten), randomBytes(CHUNK)],
  ["10 secrets, log lines without them, a chunk each", secretsOf(ten), log, 100],
  ["10 secrets and one of 6 bytes", secretsOf([...ten, "abc123"]), log],
  ["10 secrets and a private key", secretsOf([...ten, key]), log],
  ["300 secrets, log lines without them", secretsOf(values(300)), log],
  ["300 secrets, base64 without them", secretsOf(values(300)), noise],
  ["10 secrets, one in every line", secretsOf(ten), fill((n) => `${logLine(n)} ${ten[n % 10]}`)],
  ["10 secrets, nothing else", secretsOf(ten), fill((n) => ten[n % 10] ?? "")],
  ["adversarial: aaaaab in a…", secretsOf(["aaaaab"]), Buffer.alloc(CHUNK, "a")],
  ["adversarial: a*3000 b in a…", secretsOf([`${"a".repeat(3000)}b`]), Buffer.alloc(CHUNK, "a")],
];

const target = Buffer.alloc(CHUNK);
report("reference: copying", log, (chunk) => chunk.copy(target));
for (const [name, secrets, text, size] of cases) {
  const redactor = new Redactor(
    () => secrets.matcher,
    () => true,
  );
  report(name, text.subarray(0, size), (chunk) => redactor.write(chunk, 0n));
}

function report(name: string, chunk: Buffer, pass: (chunk: Buffer) => unknown): void {
  // Processor time, which other work on the machine hardly affects. Its clock is coarse, so the loop is long.
  let bytes = 0;
  const start = process.cpuUsage().user;
  for (const end = performance.now() + BUDGET_MS; performance.now() < end; ) {
    for (let at = 0; at < 2e7; at += chunk.length) pass(chunk);
    bytes += 2e7;
  }
  const speed = bytes / Math.max(1, process.cpuUsage().user - start);
  console.log(`${name.padEnd(50)} ${speed.toFixed(0).padStart(7)} MB/s`);
}
