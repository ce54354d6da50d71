import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether there is nothing here to make certificates with. */
export const noOpenssl: boolean = spawnSync("openssl", ["version"]).error !== undefined;

/** A certificate and its private key, as PEM. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** What is not usual about a certificate. */
export interface CertificateOptions {
  /** In openssl's words. @default ["IP:127.0.0.1"] */
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

/** Makes a certificate that vouches for itself, as a server's and as a client's authority. */
export function certificate(name: string, options: CertificateOptions = {}): Certificate {
  const {
    names = ["IP:127.0.0.1"],
    from = new Date(Date.now() - 60_000),
    to = new Date(Date.now() + 2 * DAY),
  } = options;
  const cwd = mkdtempSync(join(tmpdir(), "belay-cert-"));
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd, stdio: "ignore" });
  try {
    // `req -x509` knows no dates of its own choice; `ca` does.
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
