import {
  type Environment,
  type SecretChoice,
  secretsOf,
  SHORTEST_SECRET,
} from "../../../base/secrets/environment-secrets.ts";
import type { Secrets } from "./secrets.ts";

/**
 * Adds the secrets of an environment.
 *
 * @returns what could not be redacted and why, for users, naming variables only
 */
export function addEnvironment(secrets: Secrets, environment: Environment, choice: SecretChoice): string[] {
  const warnings: string[] = [];
  for (const name of new Set(choice.redact)) {
    if (environment[name] === undefined) warnings.push(`Cannot redact ${name}: it is not set`);
    else if (environment[name] === "") warnings.push(`Cannot redact ${name}: it is empty`);
  }
  for (const { name, value, part } of secretsOf(environment, choice)) {
    const added = secrets.add(value);
    if (added === "full") warnings.push(`Cannot redact ${name}: there are too many or too large secrets`);
    if (added === "short" && !part) {
      warnings.push(`Cannot redact ${name}: its value is shorter than ${SHORTEST_SECRET} bytes`);
    }
  }
  return warnings;
}
