/**
 * The one spelling of a value that is hashed and signed: RFC 8785 (JCS) for strings, integers, booleans, arrays and
 * objects, and beyond it every character outside printable ASCII as `\uxxxx`, so that a line is safe on a terminal.
 * For text of printable ASCII, which is nearly all there is, the two agree byte for byte.
 */
export type CanonicalValue =
  | string
  | number
  | boolean
  | readonly CanonicalValue[]
  | { readonly [key: string]: CanonicalValue | undefined };

/**
 * Encodes on one line of printable ASCII: members sorted by UTF-16 code units, no white space, `undefined` members left
 * out. Throws a TypeError for a number that is not a safe integer, or is -0, and for what has no place in JSON.
 */
export function encodeCanonicalJson(value: CanonicalValue): string {
  switch (typeof value) {
    case "string":
      return encodeString(value);
    case "boolean":
      return String(value);
    case "number":
      if (!Number.isSafeInteger(value) || Object.is(value, -0))
        throw new TypeError("a number here is a safe integer");
      return String(value);
    case "object":
      return isArray(value) ? `[${value.map(encodeCanonicalJson).join(",")}]` : encodeObject(value);
    default:
      throw new TypeError(`a value here is never of type ${typeof value}`);
  }
}

function isArray(value: object): value is readonly CanonicalValue[] {
  return Array.isArray(value);
}

function encodeObject(object: { readonly [key: string]: CanonicalValue | undefined }): string {
  const members: string[] = [];
  for (const key of Object.keys(object).sort()) {
    const value = object[key];
    if (value !== undefined) members.push(`${encodeString(key)}:${encodeCanonicalJson(value)}`);
  }
  return `{${members.join(",")}}`;
}

function encodeString(text: string): string {
  // JSON.stringify writes \n, \t and \u0000 to \u001f as RFC 8785 §3.2.2.2 wants them.
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Reads a line; undefined unless {@link encodeCanonicalJson} would write exactly it. Controlled by: a stranger. */
export function parseCanonicalJson(line: string): CanonicalValue | undefined {
  try {
    const value = JSON.parse(line) as CanonicalValue;
    return isWrittenAs(value, line) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The members of an object; undefined for any other value. */
export function membersOf(value: unknown): { readonly [key: string]: unknown } | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

/** Whether the value is encoded as `line`, from which JSON.parse made it. Three times as fast as encoding where that can be. */
function isWrittenAs(value: CanonicalValue, line: string): boolean {
  // Of printable ASCII both encoders make the same strings, so that only the order of members and the kinds of values are left.
  if (isSorted(value) && JSON.stringify(value) === line && !/[^\x20-\x7e]/.test(line)) return true;
  return encodeCanonicalJson(value) === line;
}

/** Whether all members are in order, and nothing is in it that has no place in a {@link CanonicalValue}. */
function isSorted(value: unknown): boolean {
  if (typeof value === "number") return Number.isSafeInteger(value) && !Object.is(value, -0);
  if (typeof value !== "object") return true;
  if (value === null) return false;
  if (Array.isArray(value)) return value.every(isSorted);
  let previous: string | undefined;
  for (const [key, member] of Object.entries(value)) {
    if ((previous !== undefined && previous >= key) || !isSorted(member)) return false;
    previous = key;
  }
  return true;
}
