import { quoted, type Refusal, refusal } from "../outcome.ts";

/** Which of the two programs. */
export type RepoProgram = "repo-add" | "repo-remove";

/** The repo-add that is installed, as far as its versions differ in what matters here. */
export interface RepoAddVersion {
  /** As it calls itself: `6.0.2`. */
  readonly text: string;
  /** From 6.1 on options are read as by getopt(1): `-qn`, `--key=K`, `--`. Before, each is a word of its own. */
  readonly readsLikeGetopt: boolean;
  /** Exit status where another process holds the lock: 1, and 2 from 7.1 on. */
  readonly lockedStatus: 1 | 2;
}

/** Reads the first line of `repo-add --version`; undefined for anything else. */
export function parseRepoAddVersion(output: string): RepoAddVersion | undefined {
  const [, text, major, minor] = /^repo-add \([^)\n]*\) (v?(\d{1,4})\.(\d{1,4})[^\s]*)\n/.exec(output) ?? [];
  if (text === undefined) return undefined;
  const release = Number(major) * 10_000 + Number(minor);
  return { text, readsLikeGetopt: release >= 60_001, lockedStatus: release >= 70_001 ? 2 : 1 };
}

/** A command line of repo-add or repo-remove, and what ours adds to it. */
export interface RepoAddArguments {
  /** Options for the real program, which is left to do them. */
  readonly passed: readonly string[];
  /** The database, then packages or package names; empty where there are none. */
  readonly operands: readonly string[];
  readonly quiet: boolean;
  /** `-R`: delete replaced package files, here done after publishing. */
  readonly removeOld: boolean;
  /** `-v`: verify the databases' signatures before the update, here with the pinned key. */
  readonly verify: boolean;
  /** `-k`: which key signs is for the signing host to say; undefined where it was not given. */
  readonly key: string | undefined;
  /** `-w`: wait for the lock; here whatever the version. */
  readonly wait: boolean;
  /** `--recover`: only complete or undo what a killed run left. */
  readonly recover: boolean;
  /** `--for WHO`, as given. */
  readonly for: string | undefined;
  /** `--config FILE`. */
  readonly config: string | undefined;
}

interface Option {
  readonly long: string;
  readonly short?: string;
  readonly takesValue?: true;
  /** Not repo-add's: no version knows it, and it is never abbreviated. */
  readonly ours?: true;
}

const OPTIONS: readonly Option[] = [
  { long: "quiet", short: "q" },
  { long: "new", short: "n" },
  { long: "remove", short: "R" },
  { long: "nocolor" },
  { long: "prevent-downgrade", short: "p" },
  { long: "include-sigs" },
  { long: "sign", short: "s" },
  { long: "key", short: "k", takesValue: true },
  { long: "verify", short: "v" },
  { long: "wait-for-lock", short: "w" },
  { long: "recover", ours: true },
  { long: "for", takesValue: true, ours: true },
  { long: "config", takesValue: true, ours: true },
];

/** What the real program is left to do; the others are done here. */
const PASSED: ReadonlySet<string> = new Set(["quiet", "new", "nocolor", "prevent-downgrade", "include-sigs"]);

/**
 * Reads the command line as the repo-add installed does. Controlled by: whoever calls. A refusal (`bad-request`) for an option
 * that it would not take, or without its value.
 */
export function parseRepoAddArguments(
  argv: readonly string[],
  version: RepoAddVersion,
): RepoAddArguments | Refusal {
  const given = new Map<string, string>();
  const operands: string[] = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--" && version.readsLikeGetopt) {
      operands.push(...rest.splice(0));
      break;
    }
    const found = version.readsLikeGetopt ? likeGetopt(word, rest) : asWord(word);
    if (found === undefined) {
      // Before 6.1 what is no option is a package, and one that does not exist.
      operands.push(word);
      continue;
    }
    if (typeof found === "string") return refusal("bad-request", found);
    const value = found.takesValue ? (found.value ?? rest.shift()) : "";
    if (value === undefined) return refusal("bad-request", `expected a value after ${quoted(word)}`);
    given.set(found.long, value);
  }
  return {
    passed: [...given.keys()].filter((long) => PASSED.has(long)).map((long) => `--${long}`),
    operands,
    quiet: given.has("quiet"),
    removeOld: given.has("remove"),
    verify: given.has("verify"),
    key: given.get("key"),
    wait: given.has("wait-for-lock"),
    recover: given.has("recover"),
    for: given.get("for"),
    config: given.get("config"),
  };
}

type Found = Option & { readonly value?: string | undefined };

/** 6.0: whole words and nothing else. Ours also take `--for=WHO`. */
function asWord(word: string): Found | undefined {
  const [name, value] = split(word);
  const option = OPTIONS.find(({ long, short }) => name === long || (short && word === `-${short}`));
  if (option === undefined || option.long === "include-sigs") return undefined;
  return value !== undefined && !(option.ours && option.takesValue) ? undefined : { ...option, value };
}

/** libmakepkg's parseopts: clusters of letters, `--name=value`, a name cut short where it stays unambiguous. */
function likeGetopt(word: string, rest: string[]): Found | string | undefined {
  if (word === "-" || !word.startsWith("-")) return undefined;
  return word.startsWith("--") ? longOption(word) : shortOption(word, rest);
}

function longOption(word: string): Found | string {
  const [name = "", value] = split(word);
  const exact = OPTIONS.find(({ long }) => long === name);
  const begun = OPTIONS.filter(({ long, ours }) => !ours && long.startsWith(name));
  const option = exact ?? (begun.length === 1 ? begun[0] : undefined);
  if (option === undefined)
    return `expected an option of repo-add, not ${begun.length > 1 ? "the ambiguous " : ""}${quoted(word)}`;
  if (value !== undefined && !option.takesValue) return `expected no value in ${quoted(word)}`;
  return { ...option, value };
}

function shortOption(word: string, rest: string[]): Found | string {
  const option = OPTIONS.find(({ short }) => short === word[1]);
  if (option === undefined) return `expected an option of repo-add, not ${quoted(word.slice(0, 2))}`;
  const further = word.slice(2);
  if (further === "") return option;
  if (option.takesValue) return { ...option, value: further };
  rest.unshift(`-${further}`);
  return option;
}

/** `--name=value` in two. */
function split(word: string): readonly [name: string | undefined, value: string | undefined] {
  if (!word.startsWith("--")) return [undefined, undefined];
  const equals = word.indexOf("=");
  return equals < 0 ? [word.slice(2), undefined] : [word.slice(2, equals), word.slice(equals + 1)];
}
