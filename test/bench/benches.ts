import type { Bench } from "./bench.ts";
import { cancels } from "./rows/cancel.ts";
import { capacities } from "./rows/capacity.ts";
import { follow } from "./rows/follow.ts";
import { memories } from "./rows/memory.ts";
import { read } from "./rows/read.ts";
import { reconnects } from "./rows/reconnect.ts";
import { start } from "./rows/start.ts";
import { throughputs } from "./rows/throughput.ts";

/** All benchmarks, in the order in which they are run and shown. */
export const BENCHES: readonly Bench[] = [
  ...throughputs,
  read,
  ...memories,
  start,
  follow,
  ...cancels,
  ...reconnects,
  ...capacities,
];
