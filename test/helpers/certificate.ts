import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether there is nothing here to make certificates with. */
export const noOpenssl: boolean = spawnSync("openssl", ["version"]).error !== undefined;

/** A certificate and its private key, as PEM. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Makes a certificate of 127.0.0.1 that vouches for itself, as a server's and as a client's authority. */
export function certificate(name: string): Certificate {
  const directory = mkdtempSync(join(tmpdir(), "belay-cert-"));
  try {
    const cert = join(directory, "cert.pem");
    const key = join(directory, "key.pem");
    const options = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=${name}`;
    const names = ["-addext", "subjectAltName=IP:127.0.0.1"];
    execFileSync("openssl", [...options.split(" "), ...names, "-keyout", key, "-out", cert], { stdio: "ignore" });
    return { cert: readFileSync(cert), key: readFileSync(key) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
