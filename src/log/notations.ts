import type { TreeHead } from "./checkpoint.ts";
import { HASH_BYTES } from "./merkle.ts";
import { decodeBase64 } from "./signed-note.ts";

/**
 * What a signature says about its place in the log, as OpenPGP notations `type@D`, `name@D`, `index@D`, `tree@D`: from a
 * signature alone one finds its entry, and holds a head of the log.
 */
export interface LogNotations {
  /** `notation_domain` of the configuration: a DNS name. */
  readonly domain: string;
  readonly type: string;
  /** Absent for requests without a name. */
  readonly name: string | undefined;
  /** The log before the entry; its size is the entry's `seq`. */
  readonly tree: TreeHead;
}

/** The notations in the order in which they are signed. */
export function encodeLogNotations(
  notations: LogNotations,
): readonly (readonly [name: string, value: string])[] {
  const { domain, type, name, tree } = notations;
  return [
    [`type@${domain}`, type],
    ...(name === undefined ? [] : [[`name@${domain}`, name] as const]),
    [`index@${domain}`, String(tree.size)],
    [`tree@${domain}`, encodeTree(tree)],
  ];
}

/** A head on one line: size in decimal, a space, the root in base64. */
function encodeTree(tree: TreeHead): string {
  return `${tree.size} ${Buffer.from(tree.root).toString("base64")}`;
}

/**
 * Finds them among a signature's notations. Undefined unless each is there at most once, `index` and `tree` agree, all
 * are of one domain and well-formed. Notations of other names are passed over. Controlled by: whoever made the signature.
 */
export function parseLogNotations(
  notations: readonly (readonly [name: string, value: string])[],
): LogNotations | undefined {
  const trees = notations.filter(([name]) => name.startsWith("tree@"));
  const domain = trees[0]?.[0].slice("tree@".length);
  if (trees.length !== 1 || domain === undefined || domain === "") return undefined;
  const ours = notations.filter(([name]) => /^(?:type|name|index|tree)@/.test(name));
  const values = new Map(ours);
  const known = ["type", "name", "index", "tree"].map((key) => `${key}@${domain}`);
  if (values.size !== ours.length || !ours.every(([name]) => known.includes(name))) return undefined;
  const type = values.get(`type@${domain}`);
  const [, digits, base64] =
    /^(0|[1-9][0-9]{0,15}) ([A-Za-z0-9+/=]+)$/.exec(values.get(`tree@${domain}`) ?? "") ?? [];
  if (type === undefined || digits === undefined || base64 === undefined) return undefined;
  const root = decodeBase64(base64);
  const size = Number(digits);
  if (root?.length !== HASH_BYTES || !Number.isSafeInteger(size) || values.get(`index@${domain}`) !== digits)
    return undefined;
  return { domain, type, name: values.get(`name@${domain}`), tree: { size, root } };
}
