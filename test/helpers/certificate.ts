import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether openssl, which makes the certificates, is missing. */
export const noOpenssl: boolean = spawnSync("openssl", ["version"]).error !== undefined;

/** A certificate and its private key, as PEM. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Options of a certificate. */
export interface CertificateOptions {
  /** Names as openssl writes them. @default ["IP:127.0.0.1"] */
  readonly names?: readonly string[];
  /** @default now */
  readonly from?: Date;
  /** @default in two days */
  readonly to?: Date;
}

const DAY = 86_400_000;

const AUTHORITY = `
[ca]
default_ca = it
[it]
database = database
serial = serial
new_certs_dir = .
default_md = sha256
policy = policy
unique_subject = no
x509_extensions = extensions
[policy]
commonName = supplied
[extensions]
basicConstraints = CA:TRUE
subjectKeyIdentifier = hash
`;

/** Makes a self-signed certificate for servers and clients, which is also its own authority. */
export function certificate(name: string, options: CertificateOptions = {}): Certificate {
  const {
    names = ["IP:127.0.0.1"],
    from = new Date(Date.now() - 60_000),
    to = new Date(Date.now() + 2 * DAY),
  } = options;
  const cwd = mkdtempSync(join(tmpdir(), "belay-cert-"));
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd, stdio: "ignore" });
  try {
    // Only `ca` can set both dates; `req -x509` cannot.
    writeFileSync(join(cwd, "ca.cnf"), `${AUTHORITY}subjectAltName = ${names.join(",")}\n`);
    writeFileSync(join(cwd, "database"), "");
    writeFileSync(join(cwd, "serial"), "01\n");
    const request = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", `/CN=${name}`];
    openssl("req", "-new", ...request, "-keyout", "key.pem", "-out", "request.pem");
    const dates = ["-startdate", opensslTime(from), "-enddate", opensslTime(to)];
    const files = ["-keyfile", "key.pem", "-in", "request.pem", "-out", "cert.pem"];
    openssl("ca", "-batch", "-config", "ca.cnf", "-selfsign", "-notext", ...files, ...dates);
    return { cert: readFileSync(join(cwd, "cert.pem")), key: readFileSync(join(cwd, "key.pem")) };
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

/** 20261122120000Z */
function opensslTime(date: Date): string {
  return date
    .toISOString()
    .replace(/\.\d+Z$/, "Z")
    .replaceAll(/[-:T]/g, "");
}
