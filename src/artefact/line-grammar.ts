/**
 * What lines of a `desc` may look like, told by their bytes: a distribution's databases have a million of them, and each
 * string or expression costs more than the line itself. A line is the bytes from `from` to `to` (exclusive).
 */

const NEWLINE = 0x0a;
const SPACE = 0x20;
const PERCENT = 0x25;
const EQUALS = 0x3d;
const DELETE = 0x7f;

/** Where the line that begins at `from` has its newline; -1 where it has none, or a control character (C0, DEL) before it. */
export function lineEnd(bytes: Uint8Array, from: number): number {
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte < SPACE) return byte === NEWLINE ? at : -1;
    if (byte === DELETE) return -1;
  }
  return -1;
}

/**
 * Whether a line-based reader, repo-add's own sed or archweb's, which trims white space, would take the line for a section's
 * header: `%KEY%` of `A-Z 0-9 _`, with spaces or bytes outside ASCII around it.
 */
export function isHeaderLike(bytes: Uint8Array, from: number, to: number): boolean {
  let start = from;
  while (start < to && isMargin(bytes[start] as number)) start++;
  if (bytes[start] !== PERCENT) return false;
  let end = to;
  while (end > start && isMargin(bytes[end - 1] as number)) end--;
  if (end - start < 3 || bytes[end - 1] !== PERCENT) return false;
  for (let at = start + 1; at < end - 1; at++) if (!isKeyByte(bytes[at] as number)) return false;
  return true;
}

/** So many lower-case hex digits. */
export function isHex(bytes: Uint8Array, from: number, to: number, digits: number): boolean {
  if (to - from !== digits) return false;
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number;
    if (!isDigit(byte) && !(byte >= 0x61 && byte <= 0x66)) return false;
  }
  return true;
}

/** A decimal number without leading zeros, of at most 15 digits: one that JavaScript, and so the log's entry, holds exactly. */
export function isDecimal(bytes: Uint8Array, from: number, to: number): boolean {
  if (to <= from || to - from > 15 || (bytes[from] === 0x30 && to - from > 1)) return false;
  for (let at = from; at < to; at++) if (!isDigit(bytes[at] as number)) return false;
  return true;
}

/** Base64 (RFC 4648 §4) with padding, of at most `maxBytes` decoded bytes. */
export function isBase64(bytes: Uint8Array, from: number, to: number, maxBytes: number): boolean {
  if (to <= from || (to - from) % 4 !== 0) return false;
  const padding = bytes[to - 1] !== EQUALS ? 0 : bytes[to - 2] !== EQUALS ? 1 : 2;
  if (((to - from) / 4) * 3 - padding > maxBytes) return false;
  for (let at = from; at < to - padding; at++) if (!isBase64Byte(bytes[at] as number)) return false;
  return true;
}

/** A space, or no ASCII. */
function isMargin(byte: number): boolean {
  return byte === SPACE || byte > DELETE;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isUpper(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a;
}

function isKeyByte(byte: number): boolean {
  return isUpper(byte) || isDigit(byte) || byte === 0x5f;
}

function isBase64Byte(byte: number): boolean {
  return isUpper(byte) || (byte >= 0x61 && byte <= 0x7a) || isDigit(byte) || byte === 0x2b || byte === 0x2f;
}
