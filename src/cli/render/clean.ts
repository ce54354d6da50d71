/**
 * A text of unknown origin on one line, with control characters made visible (`^[`, `\u009b`). For names, labels and
 * messages; logs use TerminalFilter.
 */
export function clean(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, visible);
}

function visible(character: string): string {
  const code = character.charCodeAt(0);
  if (character === "\n") return "\\n";
  if (character === "\t") return "\\t";
  if (code < 0x20 || code === 0x7f) return `^${String.fromCharCode(code ^ 0x40)}`;
  return `\\u${code.toString(16).padStart(4, "0")}`;
}
