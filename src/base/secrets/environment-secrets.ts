import { credentialsIn, isCommonplace, looksSecret, passwordsIn } from "./secret-names.ts";

/** What replaces each secret, however long it was. */
export const MASK = "***";
/** Shorter values occur in many places where they are not secret. Bytes. */
export const SHORTEST_SECRET = 6;

/** A job's environment: the agent's own, with the variables that the spec adds. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Which variables a job's spec declares secret or not secret, whatever their names look like. */
export interface SecretChoice {
  /** Variables whose values are secrets: `JobSpec.redact_environment`. */
  readonly redact: readonly string[];
  /**
   * Variables whose values are not secret: `JobSpec.no_redact_environment`. Variables in `redact` are secret anyway.
   */
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
 * The secrets of an environment: all values of the variables in `choice.redact`; values of variables whose names look
 * secret, unless they are commonplace; passwords within addresses. Empty values are not secrets.
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
