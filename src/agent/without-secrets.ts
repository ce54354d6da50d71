import type { Environment, SecretChoice } from "../base/environment-secrets.ts";
import { BelayError } from "../base/errors.ts";
import { silentLogger } from "../base/logger.ts";
import type { JobSpec } from "../gen/belay/v1/job_pb.ts";
import { CallbackError } from "./callback-error.ts";
import type { CompiledOptions } from "./compile-options.ts";
import type { Mask } from "./report/redact/mask.ts";

/** What is secret for a job: of the agent's environment and the spec's, as the spec says. */
export function secretsFor(environment: Environment, spec: JobSpec | undefined): [Environment, SecretChoice] {
  const choice = { redact: spec?.redactEnvironment ?? [], keep: spec?.noRedactEnvironment ?? [] };
  return [{ ...environment, ...spec?.environment }, choice];
}

/** The same options, with labels, a logger and remarks that have no secrets. */
export function withoutSecrets(options: CompiledOptions, mask: Mask): CompiledOptions {
  const { logger = silentLogger, labels = {}, onProgress } = options;
  return {
    ...options,
    logger: mask.logger(logger),
    labels: Object.fromEntries(Object.entries(labels).map(([key, value]) => [mask.text(key), mask.text(value)])),
    ...(onProgress !== undefined && { onProgress: (message) => onProgress(mask.text(message)) }),
  };
}

/** The same error, with a message that has no secrets. What a function of the caller's threw is the caller's. */
export function errorWithoutSecrets(error: unknown, mask: Mask): unknown {
  if (!(error instanceof BelayError) || error instanceof CallbackError) return error;
  const message = mask.text(error.message);
  return message === error.message ? error : new BelayError(error.code, message);
}
