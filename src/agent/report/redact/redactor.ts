import { ROOT } from "./automaton.ts";
import { HeldBack } from "./held-back.ts";
import type { Matcher } from "./matcher.ts";
import { MaskedPiece } from "./masked-piece.ts";
import { Ranges } from "./ranges.ts";

/** Accepts bytes that may go on, valid only during the call. @returns false when no more should come for now */
export type Sink = (data: Uint8Array, readUnixNano: bigint) => boolean;

/**
 * Removes secrets from one stream of bytes.
 *
 * Its law: the union of all occurrences of all patterns is replaced, each contiguous part of it by one `MASK`, wherever
 * the stream is cut into chunks; every other byte goes on, unchanged and in order. The end of a chunk that may be the
 * beginning of a secret is held back until it is decided or the stream is flushed, never released by time: that is at
 * most one byte less than the longest pattern has.
 */
export class Redactor {
  private readonly matcherNow: () => Matcher | undefined;
  private readonly sink: Sink;
  private readonly held = new HeldBack();
  private readonly ranges = new Ranges();
  private matcher: Matcher | undefined;
  private state = ROOT;
  /** Position in the stream up to which everything has gone on or been replaced. */
  private out = 0;
  /** Position of the next byte that comes. */
  private position = 0;

  /** @param matcherNow asked with every chunk; undefined: there are no secrets. A later one has all older patterns */
  constructor(matcherNow: () => Matcher | undefined, sink: Sink) {
    this.matcherNow = matcherNow;
    this.sink = sink;
  }

  /** Adds bytes, valid only during the call. @returns false when the sink wants no more for now */
  write(data: Uint8Array, readUnixNano: bigint): boolean {
    const matcher = this.latestMatcher();
    const start = this.position;
    if (matcher === undefined) {
      this.position = this.out = start + data.length;
      return this.sink(data, readUnixNano);
    }
    if (data.length === 0) return true;
    this.state = matcher.scan(data, this.state, start, this.ranges);
    this.position += data.length;
    const decided = this.position - matcher.undecided(this.state);
    const more = this.release(decided, data, start, readUnixNano);
    this.held.forget(decided);
    if (decided < this.position) {
      const from = Math.max(decided, start);
      this.held.keep(from === start ? data : data.subarray(from - start), from, readUnixNano);
    }
    return more;
  }

  /** Passes on what is held back: no more bytes come, or those that come belong to something else. */
  flush(): boolean {
    this.latestMatcher();
    const more = this.release(this.position, EMPTY, this.position, 0n);
    this.held.forget(this.position);
    this.ranges.forget(this.ranges.length);
    this.state = ROOT;
    return more;
  }

  /** Passes on what comes before `decided`: no occurrence that has not been found yet begins there. */
  private release(decided: number, data: Uint8Array, start: number, readUnixNano: bigint): boolean {
    const { ranges } = this;
    let next = 0;
    if (ranges.firstIsOut) this.out = Math.max(this.out, ranges.end(next++));
    let more = true;
    const pass = (bytes: Uint8Array, from: number, time: bigint): void => {
      const piece = new MaskedPiece(bytes);
      const to = from + bytes.length;
      while (this.out < to) {
        const match = ranges.start(next);
        const plain = Math.min(match, decided, to);
        piece.plain(this.out - from, plain - from);
        this.out = Math.max(this.out, plain);
        if (match > decided || match >= to) break;
        piece.mask();
        this.out = ranges.end(next++);
      }
      const rest = piece.done();
      if (rest.length > 0) more = this.sink(rest, time) && more;
    };
    if (this.out < start) {
      for (const { bytes, start: from, readUnixNano: time } of this.held.from(this.out)) {
        pass(bytes, from, time);
        // The rest is not decided. Reading it each time would make time quadratic.
        if (this.out < from + bytes.length) break;
      }
    }
    if (this.out >= start) pass(data, start, readUnixNano);
    // A match that touches the last mask is part of it.
    if (next > 0) {
      const mayGrow = ranges.end(next - 1) >= decided;
      ranges.forget(mayGrow ? next - 1 : next);
      ranges.firstIsOut = mayGrow;
    }
    return more;
  }

  /** Uses new patterns, if there are any, as if they had been known when the held bytes were read. */
  private latestMatcher(): Matcher | undefined {
    const matcher = this.matcherNow();
    if (matcher === this.matcher) return matcher;
    this.matcher = matcher;
    this.state = ROOT;
    this.ranges.forgetPending();
    if (matcher === undefined) return undefined;
    for (const { bytes, start } of this.held.from(0)) this.state = matcher.scan(bytes, this.state, start, this.ranges);
    return matcher;
  }
}

const EMPTY = new Uint8Array(0);
