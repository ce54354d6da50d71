import type { Event } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { mergeEvents, nanoOf } from "./merge.ts";

/**
 * Reduces `stored` points to at most `wanted`: time is divided into `wanted` equal stretches, and the points of each
 * stretch are merged into one. If there are no more than `wanted`, the points are passed through.
 */
export class Thinner {
  private readonly wanted: number;
  private readonly from: bigint;
  private readonly span: bigint;
  private group: Event[] = [];
  private stretch = 0;
  private before: Event | undefined;

  /**
   * @param wanted 0: all
   * @param ends the first and the last of the stored points
   */
  constructor(stored: number, wanted: number, ends: readonly Event[]) {
    const [first, last] = [ends[0], ends.at(-1)];
    this.wanted = stored > wanted ? wanted : 0;
    this.from = first === undefined ? 0n : nanoOf(first);
    this.span = last === undefined ? 1n : nanoOf(last) - this.from + 1n;
  }

  /** @returns the points that are complete now */
  push(event: Event): Event[] {
    if (this.wanted === 0) return [event];
    const stretch = this.stretchOf(event);
    const complete = stretch > this.stretch ? this.end() : [];
    this.stretch = stretch;
    this.group.push(event);
    return complete;
  }

  /** @returns the remaining points */
  end(): Event[] {
    if (this.group.length === 0) return [];
    const merged = mergeEvents(this.group, this.before);
    this.before = merged;
    this.group = [];
    return [merged];
  }

  /** The number of an event's stretch. It never decreases, whatever the clock did. */
  private stretchOf(event: Event): number {
    if (this.span <= 0n) return this.stretch;
    const at = Number(((nanoOf(event) - this.from) * BigInt(this.wanted)) / this.span);
    return Math.min(this.wanted - 1, Math.max(this.stretch, at));
  }
}
