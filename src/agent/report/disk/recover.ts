import { closeSync, ftruncateSync, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { BelayError, messageOf } from "../../../base/errors.ts";
import type { JobResult, StreamTotals } from "../../../gen/belay/v1/job_pb.ts";
import { SlabPool } from "../frame.ts";
import { LaneSpool } from "../lane-spool.ts";
import { noSums, streamTotals } from "../log-sums.ts";
import { Segment } from "../segment.ts";
import { LANES, type LaneName } from "../spool.ts";
import { HEADER_BYTES, parseSegmentName } from "./format.ts";
import { lockSpool } from "./lock-spool.ts";
import { readMeta, type SpoolIdentity } from "./meta.ts";
import { Reconstruction } from "./reconstruction.ts";
import { scanSegment, sealOpen, type SegmentScan } from "./scan.ts";
import { SegmentFile } from "./segment-file.ts";
import { SpoolDirectory } from "./spool-directory.ts";

/** A spool that an agent left behind. */
export interface RecoveredSpool {
  readonly identity: SpoolIdentity;
  /** Holds what was not delivered. New records may be added; they go to disk, too. */
  readonly spool: LaneSpool;
  /** Whether the agent reported how the job ended. */
  readonly hasResult: boolean;
  /** That report, unless the tracker has confirmed it already: then it is no longer here. */
  readonly result: JobResult | undefined;
  /** What each stream carried over the whole run. */
  readonly streams: StreamTotals[];
  /** Bytes that were cut off because they were not a whole record. */
  readonly torn: number;
}

/**
 * Opens the spool of one session that ended, however it ended.
 *
 * @returns undefined if it is in use: its agent still runs, or another process delivers it
 * @throws BelayError `SPOOL` if a newer program wrote it or it cannot be read
 */
export async function recoverSpool(
  path: string,
  onTrouble: (message: string) => void = () => undefined,
): Promise<RecoveredSpool | undefined> {
  const unlock = lockSpool(path);
  if (unlock === undefined) return undefined;
  try {
    const identity = readMeta(path);
    const directory = new SpoolDirectory({ path, unlock, identity, onTrouble, monotonic: () => performance.now() });
    const spool = new LaneSpool({ pool: new SlabPool(), directory });
    const gone = directory.loadPosition() ?? { events: 0, logs: 0, result: false, sums: noSums() };
    const found: Found = { torn: 0, result: undefined };
    for (const lane of LANES) {
      spool.lane(lane).startAfter(gone[lane], lane === "logs" ? gone.sums : noSums(), gone.result);
      await adoptAll(directory, spool, lane, found);
    }
    return { identity, spool, hasResult: spool.hasResult, streams: streamTotals(spool.kept(noSums())), ...found };
  } catch (error) {
    unlock();
    if (error instanceof BelayError) throw error;
    throw new BelayError("SPOOL", `Cannot read the spool "${path}": ${messageOf(error)}`, { cause: error });
  }
}

interface Found {
  /** Bytes that were cut off. */
  torn: number;
  result: JobResult | undefined;
}

async function adoptAll(directory: SpoolDirectory, spool: LaneSpool, name: LaneName, all: Found): Promise<void> {
  const lane = spool.lane(name);
  const files = readdirSync(directory.path)
    .map((file) => ({ path: join(directory.path, file), segment: parseSegmentName(file) }))
    .filter(({ segment }) => segment?.lane === name)
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const rebuilt = new Reconstruction(name, lane.next, lane.goneSums);
  for (const [index, { path, segment }] of files.entries()) {
    const first = segment?.first ?? 0;
    const data = await readFile(path);
    const scan = first < rebuilt.next ? undefined : scanSegment(data, path);
    if (scan === undefined || scan.header.first !== first) {
      // Delivered already, or not even its header was written.
      rmSync(path, { force: true });
      continue;
    }
    if (scan.tail === "open" && index === files.length - 1) sealInPlace(path, data, scan);
    if (scan.end < data.length) {
      all.torn += data.length - scan.end;
      truncate(path, scan.end);
    }
    all.result ??= scan.result;
    if (scan.count === 0) rmSync(path, { force: true });
    else rebuilt.add(segmentOf(path, directory, scan), scan.starts);
  }
  for (const segment of rebuilt.finish()) lane.adopt(segment);
}

function segmentOf(path: string, directory: SpoolDirectory, scan: SegmentScan): Segment {
  const { lane, first } = scan.header;
  const segment = new Segment(first, SegmentFile.found(path, lane, first, scan.end, directory));
  segment.count = scan.count;
  segment.bytes = scan.end - HEADER_BYTES;
  segment.closed = true;
  segment.sums = scan.sums;
  segment.standIn = scan.standIn;
  segment.hasResult = scan.result !== undefined;
  return segment;
}

/** Makes a record of what an agent had not sealed when it died. */
function sealInPlace(path: string, data: Buffer, scan: SegmentScan): void {
  const at = scan.end;
  const sealed = sealOpen(data, scan);
  if (sealed === undefined) return;
  const fd = openSync(path, "r+");
  writeSync(fd, sealed.head, 0, sealed.head.length, at);
  closeSync(fd);
}

function truncate(path: string, size: number): void {
  const fd = openSync(path, "r+");
  ftruncateSync(fd, size);
  closeSync(fd);
}
