import { Automaton, ROOT } from "./automaton.ts";
import type { Ranges } from "./ranges.ts";
import { Sieve } from "./sieve.ts";

/** Bytes of a possible beginning that are read again when the automaton hands over to the sieve, at most. */
const MOST_AGAIN = 2;

/**
 * Finds occurrences of patterns in a stream, chunk by chunk.
 *
 * The sieve skips text in which no pattern can begin; where one may begin, the automaton reads on until that is
 * decided. The automaton reads a byte at most five thirds times on average, so time is linear in the worst case; on
 * text without any part of a secret it reads almost nothing.
 */
export class Matcher {
  readonly automaton: Automaton;
  private readonly sieve: Sieve;

  /** @param patterns sorted, see `Automaton`; none shorter than 6 bytes; at least one */
  constructor(patterns: readonly Uint8Array[]) {
    this.automaton = new Automaton(patterns);
    this.sieve = new Sieve(patterns);
  }

  /** Bytes at the end of the text so far that may be the beginning of a secret. */
  undecided(state: number): number {
    return this.automaton.depth[state] as number;
  }

  /**
   * Reads one chunk.
   *
   * @param from state after the chunk before; `ROOT` at first
   * @param base position of the chunk in the stream
   * @param ranges receives what is found
   * @returns state at the chunk's end
   */
  scan(data: Uint8Array, from: number, base: number, ranges: Ranges): number {
    const { automaton, sieve } = this;
    const { depth, matched } = automaton;
    const { stride } = sieve;
    const { length } = data;
    let state = from;
    let at = 0;
    // No pattern begins at or before this place, except one that the automaton has seen.
    let sifted = -1;
    for (;;) {
      if (state !== ROOT || at <= sifted) {
        for (; at < length; ) {
          state = automaton.next(state, data[at++] as number);
          const match = matched[state] as number;
          if (match !== 0) ranges.add(base + at - match, base + at);
          const alive = depth[state] as number;
          if (alive <= MOST_AGAIN && at - alive > sifted) break;
        }
      }
      if (at >= length) return state;
      const low = at - (depth[state] as number);
      sifted = sieve.next(data, low + stride - 1);
      at = sifted - stride + 1;
      state = ROOT;
      // The last bytes hold no whole block: the automaton keeps them for the next chunk.
      if (sifted >= length - 1) sifted = length;
    }
  }
}
