/** Paths of PEM files. */
export interface ProofFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** The flags that name these files. */
export type ProofFlags = Record<keyof ProofFiles, string>;

/** Those of who dials. */
export const CLIENT_FLAGS: ProofFlags = { ca: "--ca", cert: "--cert", key: "--key" };

/** Contents of PEM files. */
export interface Proof {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/**
 * Reads and checks the files of a side of a TLS connection. Loads what does that only where there are any.
 *
 * @param flags how the files are named in errors
 * @throws BelayError `BAD_USAGE`
 */
export async function proofOf(files: ProofFiles, flags: ProofFlags): Promise<Proof> {
  if ((files.ca ?? files.cert ?? files.key) === undefined) return {};
  const { readProof } = await import("./certificates.ts");
  return readProof(files, flags);
}
