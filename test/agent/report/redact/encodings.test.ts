import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodingsOf } from "../../../../src/agent/report/redact/encodings.ts";
import { Redactor } from "../../../../src/agent/report/redact/redactor.ts";
import { Secrets } from "../../../../src/agent/report/redact/secrets.ts";

function redact(text: string, ...values: string[]): string {
  const secrets = new Secrets();
  for (const value of values) secrets.add(value);
  const parts: Buffer[] = [];
  const redactor = new Redactor(
    () => secrets.matcher,
    (data) => parts.push(Buffer.from(data)) > 0,
  );
  redactor.write(Buffer.from(text), 0n);
  redactor.flush();
  return Buffer.concat(parts).toString();
}

const AWKWARD = `p@ss w/rd+"ü'<&>\\=🔑`;

describe("a secret is removed as written by", () => {
  const writers: { by: string; text: string }[] = [
    { by: "echo", text: AWKWARD },
    { by: "JSON.stringify", text: JSON.stringify(AWKWARD).slice(1, -1) },
    { by: "JSON.stringify, twice", text: JSON.stringify(JSON.stringify(AWKWARD).slice(1, -1)).slice(1, -1) },
    { by: "Python's json.dumps", text: `p@ss w/rd+\\"\\u00fc'<&>\\\\=\\ud83d\\udd11` },
    { by: "PHP's json_encode", text: `p@ss w\\/rd+\\"\\u00fc'<&>\\\\=\\ud83d\\udd11` },
    { by: "Go's encoding/json", text: `p@ss w/rd+\\"ü'\\u003c\\u0026\\u003e\\\\=🔑` },
    { by: "Gson", text: `p@ss w/rd+\\"ü\\u0027\\u003c\\u0026\\u003e\\\\\\u003d🔑` },
    { by: ".NET", text: `p@ss w/rd\\u002B\\u0022\\u00FC\\u0027\\u003C\\u0026\\u003E\\\\=\\uD83D\\uDD11` },
    { by: "encodeURIComponent", text: encodeURIComponent(AWKWARD) },
    {
      by: "encodeURIComponent in lower case",
      text: encodeURIComponent(AWKWARD).replaceAll(/%../g, (x) => x.toLowerCase()),
    },
    { by: "encodeURI", text: encodeURI(AWKWARD) },
    { by: "URLSearchParams", text: new URLSearchParams({ "": AWKWARD }).toString().slice(1) },
    { by: "Python's quote", text: "p%40ss%20w/rd%2B%22%C3%BC%27%3C%26%3E%5C%3D%F0%9F%94%91" },
    { by: "Python's quote_plus", text: "p%40ss+w%2Frd%2B%22%C3%BC%27%3C%26%3E%5C%3D%F0%9F%94%91" },
    { by: "hexadecimal", text: Buffer.from(AWKWARD).toString("hex") },
    { by: "hexadecimal in upper case", text: Buffer.from(AWKWARD).toString("hex").toUpperCase() },
    { by: "HTML of JavaScript", text: `p@ss w/rd+&quot;ü&#39;&lt;&amp;&gt;\\=🔑` },
    { by: "HTML of PHP", text: `p@ss w/rd+&quot;ü&#039;&lt;&amp;&gt;\\=🔑` },
    { by: "HTML of Go", text: `p@ss w/rd+&#34;ü&#39;&lt;&amp;&gt;\\=🔑` },
    { by: "XML", text: `p@ss w/rd+&quot;ü&apos;&lt;&amp;&gt;\\=🔑` },
    { by: "SQL", text: AWKWARD.replaceAll("'", "''") },
    { by: "CSV", text: AWKWARD.replaceAll('"', '""') },
    { by: "set -x", text: AWKWARD.replaceAll("'", String.raw`'\''`) },
  ];
  test.for(writers)("$by", ({ text }) => {
    expect(redact(`<${text}>`, AWKWARD)).toBe("<***>");
  });

  const python = ["repr(s)", "ascii(s)", "repr(s.encode())", "html.escape(s)", "s.encode().hex()"];
  const bash = ["declare -p AWKWARD", 'printf %q "$AWKWARD"', 'echo "${AWKWARD@Q}"', "export -p", "set"];
  const ended = String.raw`; printf "\0"; `;
  const programs: { program: string; script: string; forms: number }[] = [
    {
      program: "python3",
      script: `import os,html; s=os.environ["AWKWARD"]; print(${python.join(",")}, sep=chr(0), end=chr(0))`,
      forms: 5,
    },
    { program: "bash", script: [...bash, ...bash.map((line) => `LC_ALL=C; ${line}`), ""].join(ended), forms: 10 },
    { program: "dash", script: `export -p${ended}set${ended}`, forms: 2 },
  ];
  test.for(programs)("$program itself", ({ program, script, forms }, { skip }) => {
    for (const secret of [AWKWARD, "tab\tand \x01\x1b! päss`w$rd*[x]"]) {
      const env = { PATH: process.env["PATH"], LC_ALL: "C.UTF-8", AWKWARD: secret };
      const { error, stdout } = spawnSync(program, ["-c", script], { env });
      if (error !== undefined) return skip(`there is no ${program}`);
      const printed = stdout.toString().split("\0").slice(0, -1);
      expect(printed).toHaveLength(forms);
      for (const text of printed) expect(redact(text, secret)).toContain("***");
    }
  });

  test("base64, wherever in the encoded text it stands, but for characters that it shares with its neighbours", () => {
    const around = fc.uint8Array({ maxLength: 8 });
    const value = fc.string({ minLength: 6, maxLength: 60, unit: "grapheme" }).filter((text) => text.trim() === text);
    fc.assert(
      fc.property(
        around,
        value,
        around,
        fc.constantFrom("base64" as const, "base64url" as const),
        (before, secret, after, alphabet) => {
          const text = Buffer.concat([before, Buffer.from(secret), after]).toString(alphabet);
          const left = redact(text, secret);
          const shared = text.length - Math.floor((Buffer.byteLength(secret) * 8) / 6);
          expect(left).toContain("***");
          expect(left.length).toBeLessThanOrEqual(shared + "***".length + 2);
        },
      ),
    );
  });

  test("base64(1), which breaks lines", () => {
    const secret = "0123456789abcdef".repeat(12);
    const lines =
      Buffer.from(secret)
        .toString("base64")
        .match(/.{1,76}/g) ?? [];
    expect(redact(lines.join("\n"), secret)).toBe("***\n***\n***\n***");
  });
});

describe("a value of several lines", () => {
  const key = `-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\nshort\n-----END PRIVATE KEY-----\n`;

  test("is removed as a whole", () => {
    expect(redact(`a\n${key}b\n`, key)).toBe("a\n***\nb\n");
  });

  test("is removed line by line, but for lines that are short or the same in every key", () => {
    expect(redact("> MIIEvQIBADANBgkq\r\n> hkiG9w0BAQEFAASC\r\n> short\r\n", key)).toBe(
      "> ***\r\n> ***\r\n> short\r\n",
    );
    expect(redact("-----BEGIN PRIVATE KEY-----\n", key)).toBe("-----BEGIN PRIVATE KEY-----\n");
  });

  test("is removed with its newlines escaped", () => {
    expect(redact(`{"key":${JSON.stringify(key.trim())}}`, key)).toBe('{"key":"***"}');
  });
});

describe("values", () => {
  test("lose white space around them: a line is never held back for its newline", () => {
    expect(redact("is hunter22 it?", "\n  hunter22 \r\n")).toBe("is *** it?");
  });

  test("of fewer than 6 bytes are not secrets; bytes count, not characters", () => {
    const secrets = new Secrets();
    expect(secrets.add("12345 \n")).toBe("short");
    expect(secrets.matcher).toBeUndefined();
    expect(secrets.add("ключ")).toBe("added");
    expect(secrets.add("ключ")).toBe("known");
  });

  test("that are not UTF-8 have the forms that bytes can have", () => {
    const forms = [...encodingsOf(Uint8Array.of(0xff, 1, 2, 3, 4, 5))].map(String);
    expect(forms).toContain("_wECAwQF");
    expect(forms).toContain("%FF%01%02%03%04%05");
  });

  test("beyond the bound are refused, and those before still hold", () => {
    const secrets = new Secrets(1000);
    expect(secrets.add("first-secret")).toBe("added");
    expect(secrets.add("x1".repeat(500))).toBe("full");
    expect(secrets.add("x1".repeat(500))).toBe("full");
    expect(secrets.add("second-secret")).toBe("added");
  });
});
