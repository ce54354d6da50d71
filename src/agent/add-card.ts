import { messageOf } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { type JobResult, Outcome } from "../gen/belay/v1/job_pb.ts";
import type { Known } from "./card/evidence.ts";
import type { Tail } from "./report/output/tail.ts";

/** What a card is made of, besides result and tail. */
export interface CardFacts extends Omit<Known, "result" | "tail"> {
  readonly logger: Logger;
}

/**
 * Adds the failure card to a result that is no success; the code for it is loaded only then. The log must be complete. Never
 * rejects: a result without a card is better than none.
 */
export async function addCard(result: JobResult, tail: Tail, facts: CardFacts): Promise<JobResult> {
  if (result.outcome === Outcome.SUCCEEDED) return result;
  try {
    const { makeCard } = await import("./card/card.ts");
    return { ...result, card: makeCard({ ...facts, result }, tail.of(result.step)) };
  } catch (error) {
    facts.logger.warn("Cannot make the failure card", { error: messageOf(error) });
    return result;
  }
}
