import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { MASK, secretsOf, SHORTEST_SECRET } from "../../../base/secrets/environment-secrets.ts";
import { mapText } from "../../../base/secrets/map-text.ts";
import { looksSecret } from "../../../base/secrets/secret-names.ts";
import type { Job, JobSpec } from "../../../gen/belay/v1/job_pb.ts";
import { JobSpecSchema } from "../../../gen/belay/v1/job_pb.ts";

/**
 * A job as callers see it: the one place that removes secrets from what the tracker answers, sends to watchers and
 * exports. Only the job's agents and the store have the job as it was given.
 *
 * The tracker knows the secret values of the spec's environment. Other secrets are known to the agent only, which
 * removes them itself.
 */
export interface Shown {
  readonly spec: JobSpec;
  text(text: string): string;
  /** The same message if there is no secret in it. */
  message<D extends DescMessage>(desc: D, message: MessageShape<D>): MessageShape<D>;
}

/** One for each spec, since most jobs are shown more than once. */
const made = new WeakMap<JobSpec, Shown>();
const NO_SPEC: JobSpec = create(JobSpecSchema);

/** A job as callers see it. */
export function shownOf({ spec = NO_SPEC, shownSpec }: Pick<Job, "spec" | "shownSpec">): Shown {
  let shown = made.get(spec);
  if (shown === undefined) made.set(spec, (shown = makeShown(spec, shownSpec ?? spec)));
  return shown;
}

function makeShown(given: JobSpec, seen: JobSpec): Shown {
  const choice = { redact: given.redactEnvironment, keep: given.noRedactEnvironment };
  const values = [...secretsOf(given.environment, choice)].flatMap(({ value }) => [value, ...value.split("\n")]);
  const secrets = [...new Set(values.map((value) => value.trim()))]
    .filter((value) => Buffer.byteLength(value) >= SHORTEST_SECRET)
    // Longer ones first: if one contains another, nothing of the longer one may be left.
    .sort((a, b) => b.length - a.length);
  const text = (whole: string): string =>
    secrets.reduce((rest, secret) => (rest.includes(secret) ? rest.replaceAll(secret, MASK) : rest), whole);
  const message: Shown["message"] = (desc, whole) => (secrets.length === 0 ? whole : mapText(desc, whole, text));
  const hidden = Object.keys(seen.environment).filter(
    (name) => choice.redact.includes(name) || (looksSecret(name) && !choice.keep.includes(name)),
  );
  const environment = { ...seen.environment, ...Object.fromEntries(hidden.map((name) => [name, MASK])) };
  const spec = message(JobSpecSchema, hidden.length === 0 ? seen : create(JobSpecSchema, { ...seen, environment }));
  return { spec, text, message };
}
