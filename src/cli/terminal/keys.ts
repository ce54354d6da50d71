import { StringDecoder } from "node:string_decoder";

/** What came from the terminal: a key by its name (`up`, `ctrl-c`, `a`), or its answer to a question (`CSI 5 n`). */
export type Input = { readonly kind: "key"; readonly name: string } | { readonly kind: "answer" };

/** No sequence that we know is longer. */
const MAX_SEQUENCE = 64;
const PASTE_END = "\u001b[201~";

/**
 * Turns a terminal's bytes into keys, however they were cut into reads. Sequences that mean nothing to us disappear, as
 * does what is pasted: it was not typed, and might contain any command.
 */
export class KeyDecoder {
  private readonly decoder = new StringDecoder("utf8");
  private held = "";
  private pasting = false;

  /** Whether an Escape waits to be told from the start of a sequence: see `flush`. */
  get waits(): boolean {
    return this.held !== "" && !this.pasting;
  }

  push(data: Uint8Array): Input[] {
    this.held += this.decoder.write(Buffer.from(data));
    const found: Input[] = [];
    while (this.held !== "") {
      if (this.pasting && !this.skipPaste()) break;
      const taken = this.take(found);
      if (taken === 0) break;
      this.held = this.held.slice(taken);
    }
    return found;
  }

  /** Nothing came for a while: an Escape that was held back was the key. */
  flush(): Input[] {
    const was = this.held;
    if (this.pasting) return [];
    this.held = "";
    return was === "\u001b" ? [{ kind: "key", name: "escape" }] : [];
  }

  /** Reads one key from the start of what is held. Returns how long it was; 0: it is not all there yet. */
  private take(found: Input[]): number {
    const { held } = this;
    if (held[0] !== "\u001b") {
      const character = String.fromCodePoint(held.codePointAt(0) ?? 0);
      found.push({ kind: "key", name: nameOf(character) });
      return character.length;
    }
    const second = held[1];
    if (second === undefined) return 0;
    if (second !== "[" && second !== "O") {
      // On a slow link, Escape and the key after it may come in one read.
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

  /** Returns whether the paste is over; of what is pasted, no more is kept than the end might begin with. */
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

/** What follows Escape, as xterm, VT220, rxvt and the Linux console have it. */
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
