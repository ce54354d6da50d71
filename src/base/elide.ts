/**
 * Bounds a text in a message: of a longer one, beginning and end are kept with "…" between them.
 *
 * @param most characters
 */
export function elide(text: string, most: number): string {
  if (text.length <= most) return text;
  const tail = Math.floor(most / 3);
  // A cut may leave half of a character, which would not be valid Unicode.
  return `${text.slice(0, most - tail - 1)}…${text.slice(-tail)}`.toWellFormed();
}
