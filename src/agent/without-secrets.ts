import type { Environment, SecretChoice } from "../base/secrets/environment-secrets.ts";
import { BelayError } from "../base/errors.ts";
import { type Logger, silentLogger } from "../base/logger.ts";
import type { JobSpec } from "../gen/belay/v1/job_pb.ts";
import { CallbackError } from "./callback-error.ts";
import type { CompiledOptions } from "./compile-options.ts";
import { JobEndedError } from "./session/job-ended-error.ts";
import type { Mask } from "./report/redact/mask.ts";

/** The environment in which a job's secrets are, and which variables the spec names as secret or not secret. */
export function secretsFor(environment: Environment, spec: JobSpec | undefined): [Environment, SecretChoice] {
  const choice = { redact: spec?.redactEnvironment ?? [], keep: spec?.noRedactEnvironment ?? [] };
  return [{ ...environment, ...spec?.environment }, choice];
}

/** Options whose functions neither fail nor see secrets. */
export type SafeOptions = CompiledOptions & { readonly logger: Logger };

/** The same options, with secrets removed from the labels and from all that the logger and `onProgress` receive. */
export function withoutSecrets(options: CompiledOptions, mask: Mask): SafeOptions {
  const { logger = silentLogger, labels = {}, onProgress } = options;
  return {
    ...options,
    logger: mask.logger(logger),
    labels: Object.fromEntries(Object.entries(labels).map(([key, value]) => [mask.text(key), mask.text(value)])),
    ...(onProgress !== undefined && { onProgress: (message) => onProgress(mask.text(message)) }),
  };
}

/** The same error, with secrets removed from its message. An error that the caller's own function threw stays as it is. */
export function errorWithoutSecrets(error: unknown, mask: Mask): unknown {
  if (!(error instanceof BelayError) || error instanceof CallbackError) return error;
  const message = mask.text(error.message);
  if (message === error.message) return error;
  return error instanceof JobEndedError
    ? new JobEndedError(message, error.jobState)
    : new BelayError(error.code, message);
}
