import { bytesOfText } from "../../../base/text/system-text.ts";

/** A name that every shell can set and export. */
const SHELL_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Bytes that `printf` copies from its format as they are. */
const PLAIN = /[A-Za-z0-9_=/.:,+@ -]/;
const NOTE = "BELAY_EXACT";

/** How a program is started. */
export interface Start {
  readonly file: string;
  readonly argv0: string;
  readonly args: readonly string[];
  /** Undefined: the agent's own. */
  readonly cwd: string | undefined;
  readonly environment: Record<string, string>;
}

/**
 * Starts a program whose directory or variables are not all UTF-8, which Node cannot pass on: a shell, which the program
 * then replaces, makes them out of octal digits in variables of its own. In an argument others could read them.
 *
 * A shell also drops variables with names that it could not set; where there are any, env(1) adds them, and the others
 * can see those for the moment until it has executed the program.
 */
export function exactStart(
  argv: readonly string[],
  cwd: string | undefined,
  environment: Readonly<Record<string, string>>,
): Start {
  const plain: Record<string, string> = {};
  const script: string[] = [];
  let added = false;
  const note = (text: string, use: string): void => {
    const name = `${NOTE}_${script.length}`;
    plain[name] = octal(text);
    // Command substitution removes newlines at the end, so an x follows them.
    script.push(`${NOTE}=$(printf "\${${name}}x"); unset ${name}; ${NOTE}=\${${NOTE}%x}; ${use}`);
  };
  for (const [name, value] of Object.entries(environment)) {
    const entry = `${name}=${value}`;
    if (!SHELL_NAME.test(name)) {
      note(entry, `set -- "$${NOTE}" "$@"`);
      added = true;
    } else if (entry.isWellFormed()) plain[name] = value;
    else note(entry, `export "$${NOTE}"`);
  }
  if (cwd?.isWellFormed() === false) note(cwd, `cd -- "$${NOTE}" || exit 126`);
  script.push(`unset ${NOTE}; exec ${added ? "env " : ""}"$@"`);
  return {
    file: "/bin/sh",
    argv0: "/bin/sh",
    args: ["-c", script.join("\n"), "sh", ...argv],
    cwd: cwd?.isWellFormed() === true ? cwd : undefined,
    environment: plain,
  };
}

/** As a format of printf(1). */
function octal(text: string): string {
  return Array.from(bytesOfText(text), (byte) => {
    const char = String.fromCharCode(byte);
    return PLAIN.test(char) ? char : `\\${byte.toString(8).padStart(3, "0")}`;
  }).join("");
}
