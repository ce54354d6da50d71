/** The state in which no beginning of a pattern has been seen. */
export const ROOT = 0;

/** In `Automaton.first`: the state has no child. */
const NONE = 256;
/** In `Automaton.first`: the state has more children than the first. */
const BRANCHES = 512;

/**
 * The automaton of Aho and Corasick ("Efficient string matching", CACM 18(6), 1975): finds every occurrence of many
 * patterns in one pass. Its state after any byte is the longest end of the text so far that some pattern begins with,
 * so it needs no memory of the text, and continues across chunks as if the text were whole.
 *
 * States are numbered in the order of a walk over the sorted patterns, so that a state's first child is the state after
 * it. Only further children need a table, and a state costs about 20 bytes whatever the alphabet. Failure links are
 * followed at the time of search: at most one for each byte, on average over a text.
 */
export class Automaton {
  /** Bytes that each state stands for: the length of that longest end. */
  readonly depth: Int32Array;
  /** Length of the longest pattern that ends in a state; 0: none does. Shorter ones lie within it. */
  readonly matched: Int32Array;
  private readonly first: Uint16Array;
  private readonly fail: Int32Array;
  private readonly root = new Int32Array(256);
  private readonly edges: EdgeTable;

  /** @param patterns sorted by their bytes, none empty, none twice */
  constructor(patterns: readonly Uint8Array[]) {
    const trie = new Trie(patterns);
    this.depth = trie.depth.slice(0, trie.states);
    this.matched = trie.matched.slice(0, trie.states);
    this.first = trie.first.slice(0, trie.states);
    this.edges = trie.edges;
    this.fail = new Int32Array(trie.states);
    for (let state = ROOT + 1; state < trie.states; state++) {
      if (trie.parent[state] === ROOT) this.root[trie.label[state] as number] = state;
    }
    this.link(trie);
  }

  /** @returns the state after one more byte */
  next(from: number, byte: number): number {
    for (let state = from; state !== ROOT; state = this.fail[state] as number) {
      const first = this.first[state] as number;
      if ((first & ~BRANCHES) === byte) return state + 1;
      if (first < BRANCHES) continue;
      const child = this.edges.get(state, byte);
      if (child !== ROOT) return child;
    }
    return this.root[byte] as number;
  }

  /** Failure links, the shallow states first because the deep ones are made from them. */
  private link(trie: Trie): void {
    for (const state of byDepth(this.depth)) {
      const parent = trie.parent[state] as number;
      if (state === ROOT || parent === ROOT) continue;
      const fail = this.next(this.fail[parent] as number, trie.label[state] as number);
      this.fail[state] = fail;
      if (this.matched[state] === 0) this.matched[state] = this.matched[fail] as number;
    }
  }
}

/** What the automaton is made from; half of it is needed only for that. */
class Trie {
  states = 1;
  readonly depth: Int32Array;
  readonly matched: Int32Array;
  readonly parent: Int32Array;
  readonly label: Uint8Array;
  readonly first: Uint16Array;
  readonly edges: EdgeTable;

  constructor(patterns: readonly Uint8Array[]) {
    const most = patterns.reduce((sum, pattern) => sum + pattern.length, 1);
    this.depth = new Int32Array(most);
    this.matched = new Int32Array(most);
    this.parent = new Int32Array(most);
    this.label = new Uint8Array(most);
    this.first = new Uint16Array(most).fill(NONE);
    // One pattern branches off from those before it at one place at most.
    this.edges = new EdgeTable(patterns.length);
    let path = new Int32Array(1);
    let before: Uint8Array = new Uint8Array(0);
    for (const pattern of patterns) {
      const shared = commonPrefix(before, pattern);
      if (path.length <= pattern.length) {
        const longer = new Int32Array(pattern.length * 2 + 1);
        longer.set(path);
        path = longer;
      }
      for (let at = shared; at < pattern.length; at++) {
        path[at + 1] = this.add(path[at] as number, pattern[at] as number, at + 1);
      }
      this.matched[path[pattern.length] as number] = pattern.length;
      before = pattern;
    }
  }

  private add(parent: number, label: number, depth: number): number {
    const state = this.states++;
    this.parent[state] = parent;
    this.label[state] = label;
    this.depth[state] = depth;
    if (this.first[parent] === NONE) {
      this.first[parent] = label;
    } else if (parent !== ROOT) {
      this.first[parent] = (this.first[parent] as number) | BRANCHES;
      this.edges.set(parent, label, state);
    }
    return state;
  }
}

/** A hash table of (state, byte) to state, with open addressing. It is never more than half full. */
class EdgeTable {
  private readonly keys: Int32Array;
  private readonly values: Int32Array;
  private readonly mask: number;

  constructor(entries: number) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(8, entries * 2)));
    this.keys = new Int32Array(size);
    this.values = new Int32Array(size);
    this.mask = size - 1;
  }

  set(state: number, byte: number, to: number): void {
    let slot = this.slot(state, byte);
    while (this.values[slot] !== 0) slot = (slot + 1) & this.mask;
    this.keys[slot] = (state << 8) | byte;
    this.values[slot] = to;
  }

  get(state: number, byte: number): number {
    const key = (state << 8) | byte;
    for (let slot = this.slot(state, byte); ; slot = (slot + 1) & this.mask) {
      const value = this.values[slot] as number;
      if (value === 0 || this.keys[slot] === key) return value;
    }
  }

  private slot(state: number, byte: number): number {
    return (Math.imul((state << 8) | byte, 0x9e3779b1) >>> 7) & this.mask;
  }
}

function commonPrefix(a: Uint8Array, b: Uint8Array): number {
  let at = 0;
  while (at < a.length && at < b.length && a[at] === b[at]) at++;
  return at;
}

/** State numbers in the order of their depths: a counting sort. */
function byDepth(depth: Int32Array): Int32Array {
  let deepest = 0;
  for (const d of depth) deepest = Math.max(deepest, d);
  const starts = new Int32Array(deepest + 2);
  for (const d of depth) starts[d + 1] = (starts[d + 1] as number) + 1;
  for (let d = 1; d < starts.length; d++) starts[d] = (starts[d] as number) + (starts[d - 1] as number);
  const sorted = new Int32Array(depth.length);
  for (let state = 0; state < depth.length; state++) {
    const d = depth[state] as number;
    const slot = starts[d] as number;
    sorted[slot] = state;
    starts[d] = slot + 1;
  }
  return sorted;
}
