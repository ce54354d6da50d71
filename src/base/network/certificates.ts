import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import type { Proof, ProofFiles, ProofFlags } from "./proof.ts";
import { BelayError, errnoOf, messageOf } from "../errors.ts";

/** Contents of a PEM file, and how to name it in an error: `--cert "c.pem"`. */
export interface Pem {
  readonly contents: Buffer;
  readonly name: string;
}

/**
 * Reads the files of one end of a TLS connection and checks them. OpenSSL's own errors would name neither file nor
 * date, and would often appear only at the other end, or nowhere.
 *
 * @param flags how the files are named in errors, such as `--cert`
 * @throws BelayError `BAD_USAGE`
 */
export async function readProof(files: ProofFiles, flags: ProofFlags): Promise<Proof> {
  if ((files.cert === undefined) !== (files.key === undefined)) {
    throw new BelayError("BAD_USAGE", `Cannot use one of ${flags.cert} and ${flags.key} without the other`);
  }
  const [ca, cert, key] = await Promise.all([
    readPem(files.ca, flags.ca),
    readPem(files.cert, flags.cert),
    readPem(files.key, flags.key),
  ]);
  checkProof({ ca, cert, key });
  return {
    ...(ca !== undefined && { ca: ca.contents }),
    ...(cert !== undefined && { cert: cert.contents }),
    ...(key !== undefined && { key: key.contents }),
  };
}

/** Checks what was read. @throws BelayError `BAD_USAGE` */
export function checkProof(pems: { ca?: Pem | undefined; cert?: Pem | undefined; key?: Pem | undefined }): void {
  const { ca, cert, key } = pems;
  if (ca !== undefined) checkAuthorities(ca);
  // A chain begins with the certificate itself; those of its issuers follow.
  const own = cert === undefined ? undefined : certificatesOf(cert)[0];
  if (cert === undefined || own === undefined) return;
  checkTime(cert, own);
  if (key === undefined || own.checkPrivateKey(privateKeyOf(key))) return;
  throw unusable(key, `it is not the key of the certificate of ${cert.name}`);
}

/** All names of a certificate, if none of them matches this host. Undefined: one matches. */
export function namesWithout(cert: Buffer, host: string): string | undefined {
  const certificate = new X509Certificate(cert);
  const found = isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host);
  return found === undefined ? namesOf(certificate) : undefined;
}

/** Names and addresses, with commas between. */
export function namesOf({ subjectAltName = "" }: X509Certificate): string {
  return subjectAltName.replaceAll(/\b(?:DNS|IP Address):/g, "") || "no host";
}

/** An instant as error messages show it. */
export function instant(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}

async function readPem(path: string | undefined, flag: string): Promise<Pem | undefined> {
  if (path === undefined) return undefined;
  const name = `${flag} "${path}"`;
  try {
    return { contents: await readFile(path), name };
  } catch (error) {
    const why = READ_PROBLEMS[errnoOf(error) ?? ""] ?? messageOf(error);
    throw new BelayError("BAD_USAGE", `Cannot read ${name}: ${why}`, { cause: error });
  }
}

const READ_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "there is no such file",
  EACCES: "no permission",
  EISDIR: "it is a directory",
};

/** One authority that is valid now is enough: others of a bundle may have expired, or become valid later. */
function checkAuthorities(ca: Pem): void {
  const authorities = certificatesOf(ca);
  const now = Date.now();
  if (authorities.some((authority) => +authority.validFromDate <= now && now <= +authority.validToDate)) return;
  const latest = authorities.reduce((one, other) => (one.validToDate > other.validToDate ? one : other));
  checkTime(ca, latest);
}

function checkTime(pem: Pem, { validFromDate, validToDate }: X509Certificate): void {
  const now = new Date();
  if (now > validToDate) throw unusable(pem, `the certificate expired on ${instant(validToDate)}`);
  if (now < validFromDate) {
    throw unusable(
      pem,
      `the certificate is not valid before ${instant(validFromDate)}; the clock here says ${instant(now)}`,
    );
  }
}

/** The certificates in a PEM file. @returns at least one */
function certificatesOf(pem: Pem): X509Certificate[] {
  const blocks = pem.contents
    .toString("latin1")
    .match(/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^]+?-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g);
  if (blocks === null) throw unusable(pem, `expected a certificate in PEM, found ${describe(pem)}`);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw unusable(pem, "its certificate is damaged", error);
  }
}

function privateKeyOf(pem: Pem): KeyObject {
  if (!/-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/.test(pem.contents.toString("latin1"))) {
    throw unusable(pem, `expected a private key in PEM, found ${describe(pem)}`);
  }
  try {
    return createPrivateKey(pem.contents);
  } catch (error) {
    const encrypted = errnoOf(error) === "ERR_MISSING_PASSPHRASE" || /ENCRYPTED/.test(pem.contents.toString("latin1"));
    throw unusable(
      pem,
      encrypted ? "the key is encrypted: expected one without a passphrase" : "its key is damaged",
      error,
    );
  }
}

function describe({ contents }: Pem): string {
  if (contents.length === 0) return "an empty file";
  const kind = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(contents.toString("latin1"))?.[1];
  return kind === undefined ? "something else" : `a ${kind.toLowerCase()}`;
}

function unusable(pem: Pem, why: string, cause?: unknown): BelayError {
  return new BelayError("BAD_USAGE", `Cannot use ${pem.name}: ${why}`, { cause });
}
