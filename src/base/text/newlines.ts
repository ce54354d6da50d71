const NEWLINE = 0x0a;
const NEWLINES = 0x0a0a0a0a;
/** Number of words after which the four counters of 8 bits must be emptied. */
const ROUND = 255;

/**
 * Counts newlines. Four bytes at a time: a byte of `word ^ NEWLINES` is zero exactly if it is a newline, and the
 * zero-byte test of H. S. Warren, "Hacker's Delight", section 6-1, turns each into one bit.
 */
export function countNewlines(bytes: Uint8Array): number {
  let count = 0;
  let at = 0;
  // Words must start at a multiple of four of the underlying memory.
  const head = Math.min(bytes.length, (4 - (bytes.byteOffset & 3)) & 3);
  for (; at < head; at++) if (bytes[at] === NEWLINE) count++;
  const wordCount = (bytes.length - at) >> 2;
  const words = new Uint32Array(bytes.buffer, wordCount === 0 ? 0 : bytes.byteOffset + at, wordCount);
  for (let w = 0; w < words.length; ) {
    const end = Math.min(words.length, w + ROUND);
    let perByte = 0;
    for (; w < end; w++) {
      const x = (words[w] as number) ^ NEWLINES;
      perByte += ~(((x & 0x7f7f7f7f) + 0x7f7f7f7f) | x | 0x7f7f7f7f) >>> 7;
    }
    count += (perByte & 0xff) + ((perByte >>> 8) & 0xff) + ((perByte >>> 16) & 0xff) + (perByte >>> 24);
  }
  for (at += words.length * 4; at < bytes.length; at++) if (bytes[at] === NEWLINE) count++;
  return count;
}
