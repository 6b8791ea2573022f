import type { Account } from "./account.ts";

/** A line of an authorized_keys file (sshd(8)) that lets a key in. */
export interface AuthorizedKey {
  /** From 1. */
  readonly line: number;
  readonly isRestricted: boolean;
  /** What `command="…"` runs; undefined where the key may run anything. */
  readonly command: string | undefined;
}

/** The paths that sshd_config's AuthorizedKeysFile stands for, for one account. */
export function authorizedKeysFiles(setting: string, account: Account): readonly string[] {
  if (setting === "none") return [];
  const tokens: Readonly<Record<string, string>> = {
    "%%": "%",
    "%h": account.home,
    "%u": account.name,
    "%U": String(account.uid),
  };
  return setting
    .split(" ")
    .filter((pattern) => pattern !== "")
    .map((pattern) => pattern.replace(/%[%huU]/g, (token) => tokens[token] ?? token))
    .map((path) => (path.startsWith("/") ? path : `${account.home}/${path}`));
}

/** Types that a public key begins with; a line that begins with none begins with options. */
const KEY_TYPE = /^(?:ssh-|ecdsa-sha2-|sk-)/;
/** An option: its name, and its value in quotes where it has one, in which `\"` stands for a quote. */
const OPTION = /([A-Za-z0-9-]+)(?:="((?:[^"\\]|\\.)*)")?(,|[ \t]+)/y;

/** The keys that a file lets in. A line whose options cannot be read counts as one that has none: the worst case. */
export function parseAuthorizedKeys(text: string): readonly AuthorizedKey[] {
  return text.split("\n").flatMap((raw, index) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) return [];
    const options = KEY_TYPE.test(line) ? new Map<string, string>() : parseOptions(line);
    return [{ line: index + 1, isRestricted: options.has("restrict"), command: options.get("command") }];
  });
}

/** Option names are lower case to sshd whatever their spelling; of two of a name the first counts. */
function parseOptions(line: string): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  OPTION.lastIndex = 0;
  for (let match = OPTION.exec(line); match !== null; match = OPTION.exec(line)) {
    const [, name = "", value = "", separator] = match;
    if (!options.has(name.toLowerCase())) options.set(name.toLowerCase(), value.replaceAll('\\"', '"'));
    if (separator !== ",") return options;
  }
  return new Map();
}
