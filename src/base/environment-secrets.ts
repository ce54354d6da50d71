import { credentialsIn, isCommonplace, looksSecret, passwordsIn } from "./secret-names.ts";

/** What stands for a secret. */
export const MASK = "***";
/** A shorter value would stand in many places where it is no secret. Bytes. */
export const SHORTEST_SECRET = 6;

/** A job's environment: what the agent has, with what the spec adds. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What a job's spec says about variables, whatever their names look like. */
export interface SecretChoice {
  /** Variables whose values are secrets: `JobSpec.redact_environment`. */
  readonly redact: readonly string[];
  /** Variables whose values are none: `JobSpec.no_redact_environment`. Those in `redact` are secrets anyway. */
  readonly keep: readonly string[];
}

/** A value that must not be shown. */
export interface EnvironmentSecret {
  /** The variable that holds it. */
  readonly name: string;
  readonly value: string;
  /** Whether it is only a part of the variable's value: the password of an address, the credential of a header. */
  readonly part: boolean;
}

/**
 * The secrets of an environment: values of the variables asked for, whatever they are; values of variables whose names
 * look secret, unless they are commonplace; passwords within addresses. Empty values are none.
 */
export function* secretsOf(environment: Environment, choice: SecretChoice): Generator<EnvironmentSecret> {
  for (const [name, value = ""] of Object.entries(environment)) {
    if (value === "") continue;
    const asked = choice.redact.includes(name);
    if (!asked && choice.keep.includes(name)) continue;
    const secret = asked || looksSecret(name);
    if (asked || (secret && !isCommonplace(value))) yield { name, value, part: false };
    for (const part of [...passwordsIn(value), ...(secret ? credentialsIn(value) : [])]) {
      if (!isCommonplace(part)) yield { name, value: part, part: true };
    }
  }
}
