import { isCommonplace, looksSecret, passwordsIn } from "../../../base/secret-names.ts";
import { SHORTEST_SECRET, type Secrets } from "./secrets.ts";

/** A job's environment: what the agent has, with what the spec adds. */
type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Adds the credentials of an environment: values of the variables asked for, whatever they are; values of variables
 * whose names look secret, unless they are commonplace; passwords within addresses.
 *
 * @param asked names as in `JobSpec.redact_environment`
 * @returns what could not be redacted and why, for people, naming variables only
 */
export function addEnvironment(secrets: Secrets, environment: Environment, asked: readonly string[]): string[] {
  const warnings: string[] = [];
  const add = (name: string, value: string, warn: boolean): void => {
    const added = secrets.add(value);
    if (added === "full") warnings.push(`Cannot redact ${name}: there are too many or too large secrets`);
    if (added === "short" && warn) {
      warnings.push(`Cannot redact ${name}: its value is shorter than ${SHORTEST_SECRET} bytes`);
    }
  };
  for (const name of new Set(asked)) {
    const value = environment[name];
    if (value === undefined) warnings.push(`Cannot redact ${name}: it is not set`);
    else add(name, value, true);
  }
  for (const [name, value = ""] of Object.entries(environment)) {
    if (asked.includes(name) || value === "") continue;
    if (looksSecret(name) && !isCommonplace(value)) add(name, value, true);
    for (const password of passwordsIn(value)) if (!isCommonplace(password)) add(name, password, false);
  }
  return warnings;
}
