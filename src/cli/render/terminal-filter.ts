/** Longest colour sequence that is passed through; real ones have about 20 bytes. */
const MAX_SEQUENCE = 64;

const ESC = 0x1b;
const BRACKET = 0x5b;
const REPLACEMENT = [0xef, 0xbf, 0xbd];

/** The position of a filter within its input. */
type State =
  /** Between characters. Left at ESC, at 0xC2. */
  | { readonly kind: "ground" }
  /** After ESC, or within `ESC [ … `: bytes that may become a colour sequence. Left when they do or no longer can. */
  | { readonly kind: "sequence"; readonly bytes: number[] }
  /** After 0xC2, the first byte of U+0080 to U+00BF. Left with the next byte. */
  | { readonly kind: "c2" }
  /** Within a longer UTF-8 character. Left after `left` bytes, or at a byte that does not continue the character. */
  | { readonly kind: "utf8"; readonly left: number };

const GROUND: State = { kind: "ground" };

/**
 * Makes a log safe for a terminal: text and colour sequences pass through, all other control sequences are shown as
 * text (`^[`), so that a log can neither move the cursor, nor set the clipboard, nor make the terminal type an answer.
 *
 * Law: the output does not depend on how the input is split.
 */
export class TerminalFilter {
  private state: State = GROUND;
  private colored = false;

  /** Adds input and returns what can be shown so far. */
  push(data: Uint8Array): Uint8Array {
    const out: number[] = [];
    let plainFrom = -1;
    const pieces: Uint8Array[] = [];
    for (let i = 0; i < data.length; i++) {
      const byte = data[i] ?? 0;
      // Fast path: most of a log is printable ASCII, and long stretches of it pass through at once.
      if (this.state.kind === "ground" && ((byte >= 0x20 && byte < 0x7f) || byte === 0x0a)) {
        if (plainFrom < 0) plainFrom = i;
        continue;
      }
      if (plainFrom >= 0) {
        pieces.push(data.subarray(plainFrom, i));
        plainFrom = -1;
      }
      this.step(byte, out);
      if (out.length > 0) pieces.push(Uint8Array.from(out.splice(0)));
    }
    if (plainFrom >= 0) pieces.push(data.subarray(plainFrom));
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
  }

  /** Returns bytes that were held back, and resets colours that the log has left on. */
  end(): Uint8Array {
    const out: number[] = [];
    this.abandon(out);
    if (this.colored) out.push(ESC, BRACKET, 0x6d);
    this.colored = false;
    return Uint8Array.from(out);
  }

  private step(byte: number, out: number[]): void {
    switch (this.state.kind) {
      case "ground":
        this.ground(byte, out);
        return;
      case "sequence":
        this.sequence(this.state.bytes, byte, out);
        return;
      case "c2":
        this.state = GROUND;
        if (byte >= 0xa0 && byte <= 0xbf) out.push(0xc2, byte);
        else if (byte >= 0x80 && byte <= 0x9f) out.push(...REPLACEMENT);
        else {
          out.push(...REPLACEMENT);
          this.ground(byte, out);
        }
        return;
      case "utf8": {
        const left = this.state.left - 1;
        if (byte < 0x80 || byte > 0xbf) {
          this.state = GROUND;
          this.ground(byte, out);
          return;
        }
        this.state = left === 0 ? GROUND : { kind: "utf8", left };
        out.push(byte);
      }
    }
  }

  private ground(byte: number, out: number[]): void {
    if (byte === ESC) this.state = { kind: "sequence", bytes: [ESC] };
    else if (byte === 0xc2) this.state = { kind: "c2" };
    else if (byte >= 0xc3 && byte <= 0xf4) {
      this.state = { kind: "utf8", left: byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3 };
      out.push(byte);
    } else if (byte >= 0x80) out.push(...REPLACEMENT);
    // Newline, tab, carriage return (progress bars) are harmless.
    else if (byte === 0x0a || byte === 0x09 || byte === 0x0d || (byte >= 0x20 && byte !== 0x7f)) out.push(byte);
    else out.push(0x5e, byte ^ 0x40);
  }

  private sequence(bytes: number[], byte: number, out: number[]): void {
    const parameter = (byte >= 0x30 && byte <= 0x39) || byte === 0x3b || byte === 0x3a;
    if (bytes.length === 1 ? byte === BRACKET : parameter && bytes.length < MAX_SEQUENCE) {
      bytes.push(byte);
      return;
    }
    if (bytes.length > 1 && byte === 0x6d) {
      out.push(...bytes, byte);
      this.colored = true;
      this.state = GROUND;
      return;
    }
    this.abandon(out);
    this.ground(byte, out);
  }

  /** Shows bytes that looked like the start of a colour sequence but were not. */
  private abandon(out: number[]): void {
    if (this.state.kind === "sequence") out.push(0x5e, BRACKET, ...this.state.bytes.slice(1));
    else if (this.state.kind === "c2") out.push(...REPLACEMENT);
    this.state = GROUND;
  }
}
