import { randomBytes } from "node:crypto";

/**
 * A UUIDv7: 48 bits of milliseconds, then random bits (RFC 9562, section 5.7). Sorts by time.
 *
 * @param now milliseconds since the Unix epoch
 */
export function uuidv7(now: number = Date.now()): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(now, 0, 6);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x70, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

/** A new id for a job or command: 12 characters of Crockford's base 32, 60 random bits. Short enough to type. */
export function shortId(): string {
  return Array.from(randomBytes(12), (byte) => ALPHABET[byte & 31]).join("");
}

const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/**
 * Checks the id of a job or command.
 *
 * @returns what is wrong, for an error message, or undefined if the id is valid
 */
export function idProblem(id: string): string | undefined {
  if (ID.test(id)) return undefined;
  const shown = id.length > 40 ? `${id.slice(0, 40)}…` : id;
  if (id.length > 128) return `"${shown}" has ${id.length} characters: expected at most 128`;
  return `"${shown}": expected 1 to 128 letters, digits, ".", "_" or "-", the first a letter or digit`;
}
