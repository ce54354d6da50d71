import { MiB } from "../../base/sizes.ts";
import type { SlabPool } from "./frame.ts";
import { MemoryLane } from "./memory-lane.ts";
import type { LaneName, Spool } from "./spool.ts";

/** Memory that waiting records may take before the job has to wait. */
export const DEFAULT_MEMORY_LIMIT: number = 8 * MiB;

/** A spool that keeps everything in memory. See `Spool` for its law. */
export class MemorySpool implements Spool {
  onPush: () => void = () => undefined;
  onRoom: () => void = () => undefined;
  readonly diskBytes = 0;
  private readonly lanes = { events: new MemoryLane(), logs: new MemoryLane() };
  private readonly limit: number;
  private readonly pool: SlabPool;

  constructor(pool: SlabPool, limit: number = DEFAULT_MEMORY_LIMIT) {
    this.pool = pool;
    this.limit = limit;
  }

  get full(): boolean {
    return this.memoryBytes >= this.limit;
  }

  get memoryBytes(): number {
    return this.lanes.events.bytes + this.lanes.logs.bytes;
  }

  nextSequence(lane: LaneName): number {
    return this.lanes[lane].next;
  }

  push(lane: LaneName, frame: Buffer): void {
    this.lanes[lane].push(frame);
    this.onPush();
  }

  read(lane: LaneName, sequence: number): Buffer | undefined {
    return this.lanes[lane].read(sequence);
  }

  ack(lane: LaneName, sequence: number): void {
    this.lanes[lane].ack(sequence, (frame) => this.pool.reclaim(frame));
    this.onRoom();
  }

  committed(lane: LaneName): number {
    return this.lanes[lane].committed;
  }

  lowestHeld(lane: LaneName): number {
    const held = this.lanes[lane];
    return held.isEmpty ? 0 : held.committed + 1;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
