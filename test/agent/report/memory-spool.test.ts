import fc from "fast-check";
import { expect, test } from "vitest";
import { SlabPool } from "../../../src/agent/report/frame.ts";
import { MemorySpool } from "../../../src/agent/report/memory-spool.ts";
import type { LaneName } from "../../../src/agent/report/spool.ts";

test("a spool holds what was pushed until it is acked, in order, whatever is done to it", () => {
  const lane = fc.constantFrom<LaneName>("events", "logs");
  const action = fc.oneof(
    fc.record({ kind: fc.constant("push" as const), lane, bytes: fc.integer({ min: 1, max: 9000 }) }),
    fc.record({ kind: fc.constant("ack" as const), lane, upTo: fc.nat({ max: 900 }) }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 900, size: "max" }), (actions) => {
      const spool = new MemorySpool(new SlabPool());
      const model = { events: { pushed: [] as Buffer[], acked: 0 }, logs: { pushed: [] as Buffer[], acked: 0 } };
      for (const { kind, lane, ...rest } of actions) {
        const { pushed } = model[lane];
        if (kind === "push") {
          const frame = Buffer.alloc((rest as { bytes: number }).bytes, pushed.length);
          expect(spool.nextSequence(lane)).toBe(pushed.length + 1);
          spool.push(lane, frame);
          pushed.push(frame);
        } else {
          const { upTo } = rest as { upTo: number };
          spool.ack(lane, upTo);
          model[lane].acked = Math.max(model[lane].acked, Math.min(upTo, pushed.length));
        }
      }
      for (const name of ["events", "logs"] as const) {
        const { pushed, acked } = model[name];
        expect(spool.committed(name)).toBe(acked);
        expect(spool.lowestHeld(name)).toBe(acked === pushed.length ? 0 : acked + 1);
        expect(spool.read(name, pushed.length + 1)).toBeUndefined();
        for (let sequence = acked + 1; sequence <= pushed.length; sequence++) {
          expect(spool.read(name, sequence)).toBe(pushed[sequence - 1]);
        }
        spool.ack(name, pushed.length);
      }
      expect(spool.memoryBytes).toBe(0);
    }),
  );
});
