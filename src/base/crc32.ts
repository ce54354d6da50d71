let zlibs: ((data: Uint8Array, value: number) => number) | undefined;

/**
 * CRC-32 (ISO-HDLC, as in zlib and gzip).
 *
 * Node's zlib is loaded at the first call: a starting agent does not need it until the job prints something.
 *
 * @param value the CRC-32 of the bytes before these
 */
export function crc32(data: Uint8Array, value = 0): number {
  zlibs ??= process.getBuiltinModule("node:zlib").crc32;
  return zlibs(data, value);
}

/**
 * Arithmetic on CRC-32s of pieces, without their bytes: multiplication of polynomials over GF(2), modulo that of the
 * CRC, as in zlib 1.2.12's `multmodp`, `x2nmodp` and `crc32_combine`
 * (https://github.com/madler/zlib/blob/v1.2.12/crc32.c).
 *
 * Bits are reflected: the highest is the coefficient of x^0.
 */
const POLYNOMIAL = 0xedb88320;
const X_TO_THE_0 = 0x80000000;
const X_TO_THE_1 = 0x40000000;

/** `X_TO_THE_2_TO_THE[n]` is x^(2^n). The values repeat after 32. */
const X_TO_THE_2_TO_THE = powers();

/** CRC-32 of A followed by B, from the CRC-32s of A and of B, and B's length in bytes. */
export function combine(crcA: number, crcB: number, lengthB: number): number {
  return (shift(crcA, lengthB) ^ crcB) >>> 0;
}

/** CRC-32 of B alone, from the CRC-32s of A and of A followed by B, and B's length in bytes. */
export function withoutFirst(crcA: number, crcAB: number, lengthB: number): number {
  return (shift(crcA, lengthB) ^ crcAB) >>> 0;
}

/** A CRC-32 shifted by a number of bytes that follow: multiplied by x^(8 * length). */
function shift(crc: number, length: number): number {
  if (crc === 0 || length === 0) return crc;
  let power = X_TO_THE_0;
  // A byte is 8 = 2^3 bits.
  for (let rest = length, n = 3; rest > 0; rest = Math.floor(rest / 2), n++) {
    if (rest % 2 === 1) power = multiply(X_TO_THE_2_TO_THE[n & 31] as number, power);
  }
  return multiply(power, crc);
}

/** @param a not 0 */
function multiply(a: number, b: number): number {
  let product = 0;
  let factor = b;
  for (let bit = X_TO_THE_0; ; bit >>>= 1) {
    if ((a & bit) !== 0) {
      product ^= factor;
      if ((a & (bit - 1)) === 0) return product >>> 0;
    }
    factor = (factor & 1) === 1 ? (factor >>> 1) ^ POLYNOMIAL : factor >>> 1;
  }
}

function powers(): number[] {
  const table = [X_TO_THE_1];
  for (let n = 1; n < 32; n++) table.push(multiply(table[n - 1] as number, table[n - 1] as number));
  return table;
}
