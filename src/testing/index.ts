/**
 * Helpers for tests of code that works with Belay: a tracker in this process, functions that wait for a job's state or
 * read its log, and an agent that the test controls.
 *
 * ```ts
 * import { readLog, startTestTracker, waitForState } from "belay-agent/testing";
 *
 * test("our scheduler runs a job to its end", async () => {
 *   await using tracker = await startTestTracker();
 *   const id = await ourScheduler.submit({ tracker: tracker.url, command: ["echo", "hi"] });
 *   await waitForState(tracker.client, id, "SUCCEEDED");
 *   expect(await readLog(tracker.client, id, { stream: "stdout" })).toBe("hi\n");
 * });
 * ```
 *
 * @module
 */
export type { ReadLogOptions } from "./read-log.ts";
export { readLog, readLogBytes } from "./read-log.ts";
export type { Answer, AnswerKind, AnswerOf, StreamEnd } from "./inbox.ts";
export type { AgentConnection, ScriptedAgentOptions } from "./scripted-agent.ts";
export { ScriptedAgent } from "./scripted-agent.ts";
export type { TestTracker, TestTrackerOptions } from "./test-tracker.ts";
export { startTestTracker } from "./test-tracker.ts";
export type { StateName, WaitOptions } from "./wait-for-state.ts";
export { waitForJob, waitForState } from "./wait-for-state.ts";
