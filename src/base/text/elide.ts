/**
 * Shortens a text for a message: a longer text keeps its beginning and end, with "…" between them.
 *
 * @param most longest result, in characters
 */
export function elide(text: string, most: number): string {
  if (text.length <= most) return text;
  const tail = Math.floor(most / 3);
  // A cut may leave half of a surrogate pair, which would not be valid Unicode.
  return `${text.slice(0, most - tail - 1)}…${text.slice(-tail)}`.toWellFormed();
}
