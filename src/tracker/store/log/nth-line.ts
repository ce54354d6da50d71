const NEWLINE = 0x0a;

/** Index just after the n-th newline, n from 1. -1: there are not so many. */
export function afterNewline(bytes: Uint8Array, n: number): number {
  let at = 0;
  for (let i = 0; i < n; i++) {
    at = bytes.indexOf(NEWLINE, at) + 1;
    if (at === 0) return -1;
  }
  return at;
}
