/** A file name in which `*` stands for any run of characters, none included. */
export type NamePattern = string & { readonly NamePattern: unique symbol };

const NAME_PATTERN = /^[A-Za-z0-9@_+*][A-Za-z0-9@._+*-]{0,254}$/;

/** Text as a {@link NamePattern}: the characters of a file name and `*`; undefined for anything else. */
export function parseNamePattern(text: string): NamePattern | undefined {
  return NAME_PATTERN.test(text) ? (text as NamePattern) : undefined;
}

/**
 * Whether the whole of `name` fits `pattern`. Linear in pattern times name whatever the stranger's name is: the pieces
 * between the stars are found from the left, no regular expression is built.
 */
export function matchesName(pattern: NamePattern, name: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === undefined) return name === first;
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last))
    return false;
  const end = name.length - last.length;
  let position = first.length;
  for (const piece of rest) {
    const found = name.indexOf(piece, position);
    if (found === -1 || found + piece.length > end) return false;
    position = found + piece.length;
  }
  return true;
}
