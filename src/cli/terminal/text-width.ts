const PLAIN = /^[\u0020-\u007e]*$/;

/** Made when first needed, like the segmenter: V8 reads a list of all emoji for it, 17 ms of a start. */
let zero: RegExp | undefined;
let emoji: RegExp | undefined;

/** Whether it has no column: combining marks, joiners, variation selectors, later jamo of a Hangul syllable. */
function hasNoColumn(character: string): boolean {
  zero ??= /^[\p{Mark}\p{Default_Ignorable_Code_Point}\p{Control}\u1160-\u11ff\u2028\u2029]$/u;
  return zero.test(character);
}

function isEmoji(glyph: string): boolean {
  emoji ??= /^\p{RGI_Emoji}$/v;
  return emoji.test(glyph);
}

/** Characters whose East Asian Width is W or F (Unicode 16): first and last code points of ranges, in order. */
const WIDE: readonly number[] = [
  0x1100, 0x115f, 0x231a, 0x231b, 0x2329, 0x232a, 0x23e9, 0x23ec, 0x23f0, 0x23f0, 0x23f3, 0x23f3, 0x25fd, 0x25fe,
  0x2614, 0x2615, 0x2630, 0x2637, 0x2648, 0x2653, 0x267f, 0x267f, 0x268a, 0x268f, 0x2693, 0x2693, 0x26a1, 0x26a1,
  0x26aa, 0x26ab, 0x26bd, 0x26be, 0x26c4, 0x26c5, 0x26ce, 0x26ce, 0x26d4, 0x26d4, 0x26ea, 0x26ea, 0x26f2, 0x26f3,
  0x26f5, 0x26f5, 0x26fa, 0x26fa, 0x26fd, 0x26fd, 0x2705, 0x2705, 0x270a, 0x270b, 0x2728, 0x2728, 0x274c, 0x274c,
  0x274e, 0x274e, 0x2753, 0x2755, 0x2757, 0x2757, 0x2795, 0x2797, 0x27b0, 0x27b0, 0x27bf, 0x27bf, 0x2b1b, 0x2b1c,
  0x2b50, 0x2b50, 0x2b55, 0x2b55, 0x2e80, 0x303e, 0x3041, 0x3247, 0x3250, 0xa4c6, 0xa960, 0xa97c, 0xac00, 0xd7a3,
  0xf900, 0xfaff, 0xfe10, 0xfe19, 0xfe30, 0xfe6b, 0xff01, 0xff60, 0xffe0, 0xffe6, 0x16fe0, 0x18cff, 0x1aff0, 0x1b2fb,
  0x1d300, 0x1d376, 0x1f004, 0x1f004, 0x1f0cf, 0x1f0cf, 0x1f18e, 0x1f18e, 0x1f191, 0x1f19a, 0x1f200, 0x1f265, 0x1f300,
  0x1f320, 0x1f32d, 0x1f335, 0x1f337, 0x1f37c, 0x1f37e, 0x1f393, 0x1f3a0, 0x1f3ca, 0x1f3cf, 0x1f3d3, 0x1f3e0, 0x1f3f0,
  0x1f3f4, 0x1f3f4, 0x1f3f8, 0x1f43e, 0x1f440, 0x1f440, 0x1f442, 0x1f4fc, 0x1f4ff, 0x1f53d, 0x1f54b, 0x1f54e, 0x1f550,
  0x1f567, 0x1f57a, 0x1f57a, 0x1f595, 0x1f596, 0x1f5a4, 0x1f5a4, 0x1f5fb, 0x1f64f, 0x1f680, 0x1f6c5, 0x1f6cc, 0x1f6cc,
  0x1f6d0, 0x1f6d2, 0x1f6d5, 0x1f6d7, 0x1f6dc, 0x1f6df, 0x1f6eb, 0x1f6ec, 0x1f6f4, 0x1f6fc, 0x1f7e0, 0x1f7eb, 0x1f7f0,
  0x1f7f0, 0x1f90c, 0x1f93a, 0x1f93c, 0x1f945, 0x1f947, 0x1f9ff, 0x1fa70, 0x1faff, 0x20000, 0x3fffd,
];

let segmenter: Intl.Segmenter | undefined;

/** Text that a terminal shows as one character, and its columns: 0, 1 or 2. */
export interface Glyph {
  readonly text: string;
  readonly width: number;
}

/** A text as a terminal shows it, character by character. It must not have control sequences: see `clean`. */
export function* glyphs(text: string): Generator<Glyph, void> {
  if (PLAIN.test(text)) {
    for (const character of text) yield { text: character, width: 1 };
    return;
  }
  segmenter ??= new Intl.Segmenter();
  for (const { segment } of segmenter.segment(text)) yield { text: segment, width: widthOfGlyph(segment) };
}

/** Width of a text on a terminal, in columns. */
export function textWidth(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const glyph of glyphs(text)) width += glyph.width;
  return width;
}

/** A text cut to `width` columns, with `…` in the last column if something is missing. */
export function cutText(text: string, width: number): string {
  if (width <= 0) return "";
  // Bounds the work: no script needs more than 16 characters for a column.
  const near = text.length > width * 16 ? text.slice(0, width * 16) : text;
  if (near.length === text.length && textWidth(text) <= width) return text;
  if (PLAIN.test(near)) return `${near.slice(0, width - 1)}…`;
  let kept = "";
  let used = 0;
  for (const glyph of glyphs(near)) {
    if (used + glyph.width > width - 1) break;
    kept += glyph.text;
    used += glyph.width;
  }
  return `${kept}…`;
}

/** A text of exactly `width` columns: cut, or padded with spaces at its end (or start). */
export function fitText(text: string, width: number, side: "left" | "right" = "left"): string {
  const cut = cutText(text, width);
  const fill = " ".repeat(Math.max(0, width - textWidth(cut)));
  return side === "left" ? cut + fill : fill + cut;
}

function widthOfGlyph(text: string): number {
  const first = text.codePointAt(0) ?? 0;
  if (text.length === (first > 0xffff ? 2 : 1)) return hasNoColumn(text) ? 0 : isWide(first) ? 2 : 1;
  if (isEmoji(text)) return 2;
  let width = 0;
  for (const character of text) {
    if (!hasNoColumn(character)) width += isWide(character.codePointAt(0) ?? 0) ? 2 : 1;
  }
  return Math.min(2, width);
}

/** Whether a code point is in one of the ranges, by binary search. */
function isWide(point: number): boolean {
  if (point < 0x1100) return false;
  let low = 0;
  let high = WIDE.length / 2 - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (point < (WIDE[2 * middle] ?? 0)) high = middle - 1;
    else if (point > (WIDE[2 * middle + 1] ?? 0)) low = middle + 1;
    else return true;
  }
  return false;
}

/** Width of a text on a terminal, without its colour sequences. */
export function widthOf(text: string): number {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/\u001b\[\d*m/g, "").length;
}
