import { once } from "node:events";
import { readFile, rename, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { createServer } from "node:tls";
import { describe, expect, it, onTestFinished } from "vitest";
import { certificate, type CertificateOptions, noOpenssl } from "../helpers/certificate.ts";
import { belay, belayEnds, type Finished, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

const DAY = 86_400_000;
const PAST: CertificateOptions = { from: new Date("2020-01-01T00:00:00Z"), to: new Date("2021-01-01T00:00:00Z") };
const TO_COME: CertificateOptions = { from: new Date("2199-01-01T00:00:00Z"), to: new Date("2200-01-01T00:00:00Z") };

/** Files with a certificate and its key: NAME.pem and NAME.key. */
async function files(
  directory: string,
  name: string,
  options: CertificateOptions = {},
): Promise<[cert: string, key: string]> {
  const made = certificate(name, options);
  const cert = path.join(directory, `${name}.pem`);
  const key = path.join(directory, `${name}.key`);
  // Replaced atomically, as programs that renew certificates do.
  await writeFile(`${cert}.new`, made.cert);
  await writeFile(`${key}.new`, made.key);
  await rename(`${key}.new`, key);
  await rename(`${cert}.new`, cert);
  return [cert, key];
}

it.skipIf(noOpenssl)("A file that cannot be used is named by agent, commands and tracker, with the date", async () => {
  const directory = await tempDirectory();
  const past = await files(directory, "past", PAST);
  const toCome = await files(directory, "to-come", TO_COME);
  const cases: [cert: string, key: string, says: (cert: string, key: string) => string][] = [
    [...past, (cert) => `${cert}: the certificate expired on 2021-01-01T00:00:00Z`],
    [...toCome, (cert) => `${cert}: the certificate is not valid before 2199-01-01T00:00:00Z; the clock here says 20`],
    [
      (await files(directory, "a"))[0],
      (await files(directory, "b"))[1],
      (cert, key) => `${key}: it is not the key of the certificate of ${cert}`,
    ],
  ];
  const refused = async ([cert, key, says]: (typeof cases)[number]): Promise<void> => {
    const to = ["--tracker", "https://127.0.0.1:9", "--connect-timeout", "1s", "--cert", cert, "--key", key];
    const listen = ["--listen", "127.0.0.1:0", "--data", await tempDirectory()];
    const [run, jobs, tracker] = await Promise.all([
      belayEnds(["run", ...to, "--", "true"]),
      belayEnds(["jobs", ...to]),
      belayEnds(["tracker", ...listen, "--tls-cert", cert, "--tls-key", key]),
    ]);
    for (const [done, prefix] of [
      [run, "--"],
      [jobs, "--"],
      [tracker, "--tls-"],
    ] as const) {
      const text = `belay: Cannot use ${says(`${prefix}cert "${cert}"`, `${prefix}key "${key}"`)}`;
      expect(done).toMatchObject({ code: 64, stdout: "", stderr: expect.stringContaining(text) as string });
      expect(done.stderr.trimEnd().split("\n")).toHaveLength(1);
    }
  };
  await Promise.all(cases.map(refused));
});

describe.skipIf(noOpenssl)("The tracker's certificate", () => {
  it("is read again on SIGHUP, and is kept if the new one has expired", async () => {
    const directory = await tempDirectory();
    const [cert, key] = await files(directory, "tracker");
    const tracker = await TrackerProcess.start({ args: ["--tls-cert", cert, "--tls-key", key, "--log-level", "info"] });
    await files(directory, "tracker", PAST);
    tracker.cli.child.kill("SIGHUP");
    await tracker.cli.says(/the present ones stay in use.*the certificate expired on 2021-01-01T00:00:00Z/);
    const [again] = await files(directory, "tracker");
    tracker.cli.child.kill("SIGHUP");
    await tracker.cli.says(/Read certificates and tokens again/);
    expect(await tracker.ends("jobs", "--ca", again)).toMatchObject({ code: 0 });
  });

  it("for another host is rejected by agent and commands, whatever NODE_TLS_REJECT_UNAUTHORIZED says", async () => {
    const directory = await tempDirectory();
    const [cert, key] = await files(directory, "tracker", { names: ["DNS:a.example", "IP:192.0.2.1"] });
    const tracker = await TrackerProcess.start({ args: ["--tls-cert", cert, "--tls-key", key] });
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
    await tracker.cli.says(/The certificate is for other hosts.*address=127\.0\.0\.1 names="?a\.example, 192\.0\.2\.1/);
    const trusting = ["--tracker", tracker.url, "--connect-timeout", "600ms"];
    const both = (...flags: string[]): Promise<Finished[]> =>
      Promise.all([
        belayEnds(["run", ...trusting, ...flags, "--", "true"], { env }),
        belayEnds(["jobs", ...trusting, ...flags], { env }),
      ]);
    for (const { code, stderr } of await both("--ca", cert)) {
      expect(code).toBe(125);
      expect(stderr).toContain(
        `: its certificate is for a.example, 192.0.2.1, not for 127.0.0.1 (ERR_TLS_CERT_ALTNAME_INVALID)`,
      );
      expect(stderr).not.toContain("NODE_TLS_REJECT_UNAUTHORIZED");
    }
    for (const { code, stderr } of await both()) {
      expect(code).toBe(125);
      expect(stderr).toContain("not signed by a known CA: pass the CA with --ca");
      expect(stderr).not.toContain("NODE_TLS_REJECT_UNAUTHORIZED");
    }
  });

  it.each([
    ["has expired", PAST, /: its certificate expired on 2021-01-01T00:00:00Z \(CERT_HAS_EXPIRED\)/],
    [
      "is not valid yet",
      TO_COME,
      /: its certificate is not valid before 2199-01-01T00:00:00Z; the clock here says 20\S+ \(CERT_NOT_YET_VALID\)/,
    ],
  ])("that %s is reported with its date by agent and commands", async (_, dates, says) => {
    const directory = await tempDirectory();
    const [cert, key] = await files(directory, "tracker", dates);
    const [other] = await files(directory, "other");
    // The file also has an authority that is valid, so that the file itself is accepted.
    const ca = path.join(directory, "ca");
    await writeFile(ca, Buffer.concat([await readFile(cert), await readFile(other)]));
    // No tracker starts with such a certificate.
    const server = createServer({ cert: await readFile(cert), key: await readFile(key), ALPNProtocols: ["h2"] });
    server.on("tlsClientError", () => undefined).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const flags = ["--tracker", url, "--ca", ca, "--connect-timeout", "300ms"];
    for (const done of await Promise.all([belayEnds(["run", ...flags, "--", "true"]), belayEnds(["jobs", ...flags])])) {
      expect(done.code).toBe(125);
      expect(done.stderr).toMatch(says);
    }
  });
});

it.skipIf(noOpenssl)(
  "An agent and a follower go on after all certificates were exchanged while the tracker was away",
  async () => {
    const directory = await tempDirectory();
    const [cert, key] = await files(directory, "tracker");
    const [own, ownKey] = await files(directory, "agent", { to: new Date(Date.now() + DAY) });
    const args = ["--tls-cert", cert, "--tls-key", key, "--client-ca", own];
    const tracker = await TrackerProcess.start({ args });
    const proof = ["--tracker", tracker.url, "--ca", cert, "--cert", own, "--key", ownKey];
    const run = belay([
      "run",
      ...proof,
      "--job",
      "j1",
      "--",
      "sh",
      "-c",
      `echo begin; while [ ! -e ${directory}/go ]; do sleep 0.1; done; echo end`,
    ]);
    await run.says(/begin/);
    const logs = belay(["logs", "-f", ...proof, "j1"]);
    await logs.says(/begin/);
    await tracker.cli.kill("SIGKILL");
    await files(directory, "tracker");
    await files(directory, "agent");
    await TrackerProcess.start({ data: tracker.data, listen: new URL(tracker.url).host, args });
    await writeFile(path.join(directory, "go"), "");
    expect(await run.ended).toBe(0);
    expect(await logs.ended).toBe(0);
    expect(logs.stdout).toBe("begin\nend\n");
  },
);
