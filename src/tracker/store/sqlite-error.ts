/** Primary result codes of SQLite, https://sqlite.org/rescode.html. */
const CORRUPT = 11;
const FULL = 13;
const NOT_A_DATABASE = 26;

/** Whether SQLite says that the file is damaged, or is not a database at all. */
export function isDamage(error: unknown): boolean {
  return [CORRUPT, NOT_A_DATABASE].includes(codeOf(error));
}

/** Whether SQLite says that the disk is full. */
export function isFull(error: unknown): boolean {
  return codeOf(error) === FULL;
}

/** Extended codes have the primary one in their lowest byte. 0: it is not an error of SQLite. */
function codeOf(error: unknown): number {
  const { errcode = 0 } = error instanceof Error ? (error as Error & { errcode?: number }) : {};
  return errcode & 0xff;
}
