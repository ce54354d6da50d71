/** The reference: all occurrences of all patterns in the whole text, their union, each contiguous part replaced. */
export function redactedByReference(text: Uint8Array, patterns: readonly Uint8Array[]): Buffer {
  const whole = Buffer.from(text);
  const secret = new Uint8Array(whole.length);
  // Where two occurrences touch or overlap is part of one range; a range ends where neither is true.
  for (const pattern of patterns) {
    for (let at = whole.indexOf(pattern); at !== -1; at = whole.indexOf(pattern, at + 1)) {
      secret.fill(1, at, at + pattern.length);
    }
  }
  const parts: Buffer[] = [];
  for (let at = 0; at < whole.length; ) {
    let end = at;
    while (end < whole.length && secret[end] === secret[at]) end++;
    parts.push(secret[at] === 1 ? Buffer.from("***") : whole.subarray(at, end));
    at = end;
  }
  return Buffer.concat(parts);
}

/** Cuts a text into chunks after so many bytes each, over and over. */
export function* chunksOf(text: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, turn = 0; at < text.length; turn++) {
    const size = Math.max(1, sizes[turn % sizes.length] ?? text.length);
    // A copy of its own, overwritten afterwards: chunks are lent for the time of a call.
    const chunk = Uint8Array.from(text.subarray(at, at + size));
    yield chunk;
    chunk.fill(0x3f);
    at += size;
  }
}
