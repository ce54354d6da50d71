/** Defaults of `AgentOptions`. Milliseconds. */
export const DEFAULTS = {
  connectTimeout: 60_000,
  flushTimeout: 300_000,
  stopFlushTimeout: 10_000,
  stopBudget: 20_000,
} as const;
