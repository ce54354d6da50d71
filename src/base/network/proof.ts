/** Paths of PEM files. */
export interface ProofFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** The flags that name these files. */
export type ProofFlags = Record<keyof ProofFiles, string>;

/** The flags of the end that connects. */
export const CLIENT_FLAGS: ProofFlags = { ca: "--ca", cert: "--cert", key: "--key" };

/** Contents of PEM files. */
export interface Proof {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/**
 * Reads and checks the files of one end of a TLS connection. The code that does it is loaded only if there are files.
 *
 * @param flags how the files are named in errors
 * @throws BelayError `BAD_USAGE`
 */
export async function proofOf(files: ProofFiles, flags: ProofFlags): Promise<Proof> {
  if ((files.ca ?? files.cert ?? files.key) === undefined) return {};
  const { readProof } = await import("./certificates.ts");
  return readProof(files, flags);
}
