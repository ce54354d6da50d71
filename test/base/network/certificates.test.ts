import { chmod, writeFile } from "node:fs/promises";
import path from "node:path";
import { getuid } from "node:process";
import { describe, expect, it } from "vitest";
import { CLIENT_FLAGS, proofOf } from "../../../src/base/network/proof.ts";
import { certificate, type CertificateOptions, noOpenssl } from "../../helpers/certificate.ts";
import { testDirectory } from "../../helpers/tracker.ts";

const PAST: CertificateOptions = { from: new Date("2020-01-01T00:00:00Z"), to: new Date("2021-01-01T00:00:00Z") };
const TO_COME: CertificateOptions = { from: new Date("2199-01-01T00:00:00Z"), to: new Date("2200-01-01T00:00:00Z") };

function pem(kind: string): string {
  return `-----BEGIN ${kind}-----\nAAAA\n-----END ${kind}-----\n`;
}

describe.skipIf(noOpenssl)("Files of certificates", () => {
  const good = certificate("good");
  const other = certificate("other");
  const past = certificate("past", PAST);

  it.each<[what: string, files: { ca?: Buffer | string; cert?: Buffer | string; key?: Buffer | string }, says: string]>(
    [
      ["expired", past, 'Cannot use --cert "DIR/cert": the certificate expired on 2021-01-01T00:00:00Z'],
      [
        "not yet valid",
        certificate("x", TO_COME),
        'Cannot use --cert "DIR/cert": the certificate is not valid before 2199-01-01T00:00:00Z; the clock here says 20',
      ],
      [
        "of another key",
        { cert: good.cert, key: other.key },
        'Cannot use --key "DIR/key": it is not the key of the certificate of --cert "DIR/cert"',
      ],
      [
        "exchanged",
        { cert: good.key, key: good.cert },
        'Cannot use --cert "DIR/cert": expected a certificate in PEM, found a private key',
      ],
      [
        "a certificate as key",
        { cert: good.cert, key: good.cert },
        'Cannot use --key "DIR/key": expected a private key in PEM, found a certificate',
      ],
      [
        "empty",
        { cert: "", key: good.key },
        'Cannot use --cert "DIR/cert": expected a certificate in PEM, found an empty file',
      ],
      [
        "something else",
        { ca: "hello" },
        'Cannot use --ca "DIR/ca": expected a certificate in PEM, found something else',
      ],
      [
        "DER",
        { ca: Buffer.from([0x30, 0x82]) },
        'Cannot use --ca "DIR/ca": expected a certificate in PEM, found something else',
      ],
      [
        "damaged",
        { cert: pem("CERTIFICATE"), key: good.key },
        'Cannot use --cert "DIR/cert": its certificate is damaged',
      ],
      [
        "with a damaged key",
        { cert: good.cert, key: pem("EC PRIVATE KEY") },
        'Cannot use --key "DIR/key": its key is damaged',
      ],
      [
        "with an encrypted key",
        { cert: good.cert, key: pem("ENCRYPTED PRIVATE KEY") },
        'Cannot use --key "DIR/key": the key is encrypted: expected one without a passphrase',
      ],
      ["without a key", { cert: good.cert }, "Cannot use one of --cert and --key without the other"],
      [
        "authorities that have all expired",
        { ca: Buffer.concat([past.cert, past.cert]) },
        'Cannot use --ca "DIR/ca": the certificate expired on 2021-01-01T00:00:00Z',
      ],
    ],
  )("that are %s are refused", async (_, files, says) => {
    const directory = await testDirectory();
    const paths: Record<string, string> = {};
    for (const [name, contents] of Object.entries(files)) {
      paths[name] = path.join(directory, name);
      await writeFile(path.join(directory, name), contents);
    }
    await expect(proofOf(paths, CLIENT_FLAGS)).rejects.toThrow(says.replaceAll("DIR", directory));
    await expect(proofOf(paths, CLIENT_FLAGS)).rejects.toMatchObject({ code: "BAD_USAGE" });
  });

  it("are read as they are; of authorities, one that is valid is enough", async () => {
    const directory = await testDirectory();
    const file = (name: string): string => path.join(directory, name);
    const ca = Buffer.concat([past.cert, good.cert]);
    await writeFile(file("ca"), ca);
    await writeFile(file("cert"), Buffer.concat([good.cert, past.cert]));
    await writeFile(file("key"), good.key);
    const proof = await proofOf({ ca: file("ca"), cert: file("cert"), key: file("key") }, CLIENT_FLAGS);
    expect(proof.ca).toEqual(ca);
    expect(await proofOf({}, CLIENT_FLAGS)).toEqual({});
  });
});

it("A file that cannot be read is named in plain words", async () => {
  const directory = await testDirectory();
  const none = path.join(directory, "none");
  await expect(proofOf({ ca: none }, CLIENT_FLAGS)).rejects.toThrow(
    `Cannot read --ca "${none}": there is no such file`,
  );
  await expect(proofOf({ ca: directory }, CLIENT_FLAGS)).rejects.toThrow(
    `Cannot read --ca "${directory}": it is a directory`,
  );
});

// Root reads everything.
it.skipIf(getuid?.() === 0)("A file without permission is named in plain words", async () => {
  const file = path.join(await testDirectory(), "ca");
  await writeFile(file, "");
  await chmod(file, 0);
  await expect(proofOf({ ca: file }, CLIENT_FLAGS)).rejects.toThrow(`Cannot read --ca "${file}": no permission`);
});
