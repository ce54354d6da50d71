import { StringDecoder } from "node:string_decoder";

/** Input from the terminal: a key by its name (`up`, `ctrl-c`, `a`), or the answer to a probe (`CSI 5 n`). */
export type Input = { readonly kind: "key"; readonly name: string } | { readonly kind: "answer" };

/** No known sequence is longer. */
const MAX_SEQUENCE = 64;
const PASTE_END = "\u001b[201~";

/**
 * Decodes a terminal's bytes into keys, wherever reads end. Unknown sequences are ignored. Pasted text is ignored, too:
 * it was not typed, and might contain any command.
 */
export class KeyDecoder {
  private readonly decoder = new StringDecoder("utf8");
  private held = "";
  private pasting = false;

  /** Whether an Escape is held back that may be the key or the start of a sequence: see `flush`. */
  get holdsEscape(): boolean {
    return this.held !== "" && !this.pasting;
  }

  push(data: Uint8Array): Input[] {
    this.held += this.decoder.write(Buffer.from(data));
    const found: Input[] = [];
    while (this.held !== "") {
      if (this.pasting && !this.skipPaste()) break;
      const taken = this.decodeOne(found);
      if (taken === 0) break;
      this.held = this.held.slice(taken);
    }
    return found;
  }

  /** Must be called when no byte came for a while: an Escape that was held back was the key. */
  flush(): Input[] {
    const held = this.held;
    if (this.pasting) return [];
    this.held = "";
    return held === "\u001b" ? [{ kind: "key", name: "escape" }] : [];
  }

  /** Decodes one key from the start of the held bytes. Returns its length; 0: it is not complete yet. */
  private decodeOne(found: Input[]): number {
    const { held } = this;
    if (held[0] !== "\u001b") {
      const character = String.fromCodePoint(held.codePointAt(0) ?? 0);
      found.push({ kind: "key", name: nameOf(character) });
      return character.length;
    }
    const second = held[1];
    if (second === undefined) return 0;
    if (second !== "[" && second !== "O") {
      // On a slow link, one read may return Escape and the key after it.
      found.push({ kind: "key", name: "escape" });
      return 1;
    }
    // eslint-disable-next-line no-control-regex
    const sequence = /^\u001b(?:\[[\u0030-\u003f]*[\u0020-\u002f]*[\u0040-\u007e]|O[\u0040-\u007e])/.exec(held)?.[0];
    if (sequence === undefined) return held.length > MAX_SEQUENCE ? 2 : 0;
    if (sequence === "\u001b[200~") this.pasting = true;
    else if (sequence === "\u001b[0n") found.push({ kind: "answer" });
    const name = SEQUENCES[sequence.slice(1)];
    if (name !== undefined) found.push({ kind: "key", name });
    return sequence.length;
  }

  /** Returns whether the paste has ended. Keeps only bytes that may be the start of the end marker. */
  private skipPaste(): boolean {
    const end = this.held.indexOf(PASTE_END);
    if (end < 0) {
      this.held = this.held.slice(-PASTE_END.length);
      return false;
    }
    this.held = this.held.slice(end + PASTE_END.length);
    this.pasting = false;
    return this.held !== "";
  }
}

/** Sequences after Escape, as xterm, VT220, rxvt and the Linux console send them. */
const SEQUENCES: Readonly<Record<string, string>> = {
  "[A": "up",
  OA: "up",
  "[B": "down",
  OB: "down",
  "[C": "right",
  OC: "right",
  "[D": "left",
  OD: "left",
  "[H": "home",
  OH: "home",
  "[1~": "home",
  "[7~": "home",
  "[F": "end",
  OF: "end",
  "[4~": "end",
  "[8~": "end",
  "[5~": "pageup",
  "[6~": "pagedown",
  OM: "enter",
};

function nameOf(character: string): string {
  switch (character) {
    case "\r":
    case "\n":
      return "enter";
    case "\t":
      return "tab";
    case "\u007f":
    case "\b":
      return "backspace";
    default:
      return character < " " ? `ctrl-${String.fromCharCode(character.charCodeAt(0) + 0x60)}` : character;
  }
}
