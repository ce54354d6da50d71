/** Bytes of one block. */
const BLOCK = 2;
/** One bit of a byte for each place of a block within a pattern. */
const MOST_PLACES = 8;

/**
 * Skips text in which no pattern can begin. It reads one block of two bytes in every `stride`.
 *
 * An occurrence of a pattern covers at least one of the blocks read, because `stride` consecutive places start in
 * its first `stride + 1` bytes. So a table of all blocks has at which of these places each may be in a pattern;
 * where it has none, nothing begins in the `stride` bytes up to there. The idea is that of Wu and Manber ("A fast
 * algorithm for multi-pattern searching", 1994); steps of one length, unlike theirs, let the processor read many
 * blocks at the same time.
 */
export class Sieve {
  /** Bytes from one block that is read to the next. */
  readonly stride: number;
  private readonly places = new Uint8Array(1 << 16);

  /** @param patterns none shorter than 3 bytes */
  constructor(patterns: readonly Uint8Array[]) {
    const shortest = patterns.reduce((least, pattern) => Math.min(least, pattern.length), Number.MAX_SAFE_INTEGER);
    this.stride = Math.min(shortest - BLOCK + 1, MOST_PLACES);
    for (const pattern of patterns) {
      for (let place = 0; place < this.stride; place++) {
        const block = ((pattern[place] as number) << 8) | (pattern[place + 1] as number);
        this.places[block] = (this.places[block] as number) | (1 << place);
      }
    }
  }

  /**
   * Reads blocks from `from` on, which must be 2 or more.
   *
   * @returns the place of the first block that may be part of an occurrence that begins at most `stride - 1` bytes
   *   before it; or, when no such place exists, the place of the next block that is not wholly in `data`
   */
  next(data: Uint8Array, from: number): number {
    const { places, stride } = this;
    const end = data.length - 1;
    let at = from;
    for (; at < end; at += stride) {
      const placesHere = places[((data[at] as number) << 8) | (data[at + 1] as number)] as number;
      if (placesHere !== 0 && this.confirm(data, at, placesHere)) return at;
    }
    return at;
  }

  /** Whether the blocks next to this one fit as well: a block is at place n only if the one before is at n - 1. */
  private confirm(data: Uint8Array, at: number, placesHere: number): boolean {
    const { places } = this;
    const a = data[at - 2] as number;
    const b = data[at - 1] as number;
    const c = data[at] as number;
    let fits =
      placesHere & (((places[(b << 8) | c] as number) << 1) | 1) & (((places[(a << 8) | b] as number) << 2) | 3);
    if (fits === 0 || at + 2 >= data.length) return fits !== 0;
    const d = data[at + 1] as number;
    const after = places[(d << 8) | (data[at + 2] as number)] as number;
    fits &= (after >> 1) | (1 << (this.stride - 1));
    return fits !== 0;
  }
}
