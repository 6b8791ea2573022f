import { quoted } from "../../outcome.ts";
import { matchesName, type NamePattern } from "../../policy/name-pattern.ts";
import { Contradiction } from "../contradiction.ts";
import type { WitnessKey } from "../cosignature.ts";
import type { VerifierKey } from "../signed-note.ts";
import type { AuditedLog } from "./audited-log.ts";
import type { Finding } from "./finding.ts";
import { type CosignedHead, type NewestState, type ReadLog, readLog, stateOf } from "./log-pass.ts";
import type { OurKeys } from "./our-keys.ts";
import { type PublishedTree, readPublishedTree } from "./published-tree.ts";
import { type AuditedSignature, fitsName, SignatureAudit } from "./signature-audit.ts";

/** What a tree is held against. */
export interface AuditOptions {
  readonly log: AuditedLog;
  readonly verifier: VerifierKey;
  /** Each must have cosigned a head of the log. */
  readonly witnesses: readonly WitnessKey[];
  readonly keys: OurKeys;
  /** Names that need not be in the tree. */
  readonly ignore: readonly NamePattern[];
  /** What was signed before need not be in the tree any more. */
  readonly since?: Date | undefined;
  /** What was signed from then on need not be in the tree yet. */
  readonly until?: Date | undefined;
  readonly now: Date;
  readonly onProgress?: ((done: number, size: number) => void) | undefined;
}

/** What an audit found, and what it looked at. */
export interface AuditReport {
  readonly findings: readonly Finding[];
  readonly tree: PublishedTree;
  /** What was compared with the tree; undefined where the log is broken, and nothing was. */
  readonly compared: ComparedLog | undefined;
}

export interface ComparedLog {
  readonly size: number;
  readonly cosigned: readonly CosignedHead[];
  /** Number of signatures beyond what every witness cosigned; 0 where no witness was asked for. */
  readonly beyondWitnesses: number;
  /** Number of names whose newest state was looked for in the tree. */
  readonly expected: number;
  /** Number of names that {@link AuditOptions} excuse. */
  readonly excused: number;
  /** Number of `signed` entries without a name, which nobody can look for. */
  readonly nameless: number;
  /** Files of older states whose newest state is elsewhere in the tree. */
  readonly olderElsewhere: readonly string[];
}

/**
 * Holds a published tree against a log, both ways: every signature of ours has its entry, file, name and digest, and every
 * newest state of a name is in the tree. The log itself is verified first; where it is broken, nothing is said about the tree
 * but what the tree alone shows. Reads each file of ours once and the log once.
 */
export async function audit(folder: string, options: AuditOptions): Promise<AuditReport> {
  const { keys, now } = options;
  const tree = readPublishedTree(folder, (key) => keys.has(key));
  const log = read(tree, options);
  if (log.kind === "broken") return { findings: [log.finding, ...tree.findings], tree, compared: undefined };
  const signatures = new SignatureAudit(tree.folder, log, keys, now);
  const audited: AuditedSignature[] = [];
  for (const found of tree.signatures) audited.push(await signatures.check(found));
  const present = states(audited);
  const due = [...log.newest.values()]
    .filter((state) => isDue(state, options))
    .toSorted((a, b) => a.seq - b.seq);
  const lacking = due.flatMap((state) => lackingState(state, present.get(stateOf(state)) ?? []) ?? []);
  const inTree = [...tree.findings, ...audited.flatMap(({ findings }) => findings)];
  return {
    findings: [...uncosigned(log, options), ...inTree.toSorted(byFile), ...lacking],
    tree,
    compared: {
      size: log.size,
      cosigned: log.cosigned,
      beyondWitnesses: beyondWitnesses(log, audited),
      expected: due.length,
      excused: log.newest.size - due.length,
      nameless: log.nameless,
      olderElsewhere: olderElsewhere(audited, log),
    },
  };
}

function read(
  tree: PublishedTree,
  { log, verifier, witnesses, until, onProgress }: AuditOptions,
): ReadLog | { readonly kind: "broken"; readonly finding: Finding } {
  const numbers = new Set(tree.signatures.map(({ notations }) => notations.tree.size));
  try {
    return readLog(log, { verifier, witnesses, numbers, until, onProgress });
  } catch (error) {
    if (!(error instanceof Contradiction)) throw error;
    const what = `the log is broken: ${error.message}`;
    return { kind: "broken", finding: { code: "log-broken", file: undefined, seq: error.seq, what } };
  }
}

function uncosigned({ cosigned }: ReadLog, { witnesses }: AuditOptions): readonly Finding[] {
  return witnesses
    .filter((witness) => !cosigned.some((one) => one.witness === witness))
    .map(({ name }) => ({
      code: "not-cosigned",
      file: undefined,
      seq: undefined,
      what: `${quoted(name, 255)} cosigned no head that comes with this log`,
    }));
}

function beyondWitnesses({ cosigned }: ReadLog, audited: readonly AuditedSignature[]): number {
  if (cosigned.length === 0) return 0;
  const vouched = Math.min(...cosigned.map(({ head }) => head.size));
  return audited.filter(({ entry }) => entry !== undefined && entry.seq >= vouched).length;
}

function isDue({ name, time }: NewestState, { ignore, since }: AuditOptions): boolean {
  if (ignore.some((pattern) => matchesName(pattern, name))) return false;
  return since === undefined || Date.parse(time) >= since.getTime();
}

/** Of each client, type and name the signatures that stand in the tree under it. Backups do not count. */
function states(audited: readonly AuditedSignature[]): ReadonlyMap<string, readonly AuditedSignature[]> {
  const found = new Map<string, AuditedSignature[]>();
  for (const signature of audited) {
    if (!isCurrent(signature)) continue;
    const state = stateOf(signature.entry);
    found.set(state, [...(found.get(state) ?? []), signature]);
  }
  return found;
}

function isCurrent(signature: AuditedSignature): signature is AuditedSignature & {
  readonly entry: NonNullable<AuditedSignature["entry"]>;
} {
  const { entry, found } = signature;
  return entry?.name !== undefined && !found.backup && fitsName(entry.name, found.name);
}

/** What is wrong with a name whose newest state should be in the tree. A newer one, or the same bytes signed earlier, will do. */
function lackingState(state: NewestState, present: readonly AuditedSignature[]): Finding | undefined {
  const { seq, time, client, type, name, sha512 } = state;
  const isThere = ({ entry }: AuditedSignature) =>
    entry !== undefined && (entry.seq >= seq || entry.sha512 === sha512);
  if (present.some(isThere)) return undefined;
  const newest = present.toSorted((a, b) => (a.entry?.seq ?? 0) - (b.entry?.seq ?? 0)).at(-1);
  if (newest?.entry === undefined)
    return {
      code: "missing",
      file: undefined,
      seq,
      what: `${quoted(name, 255)} (${type}, client ${quoted(client)}), signed at ${seconds(time)}, is not in the tree`,
    };
  return {
    code: "outdated",
    file: newest.found.file,
    seq,
    what: `it is entry ${newest.entry.seq} of ${seconds(newest.entry.time)}; ${quoted(name, 255)} was signed again at ${seconds(time)}`,
  };
}

/** An entry's time without its milliseconds. */
function seconds(time: string): string {
  return time.replace(/\.[0-9]{3}Z$/, "Z");
}

/** Older states than the newest, which is in the tree as well: two folders with files of one name, or an old one put aside. */
function olderElsewhere(audited: readonly AuditedSignature[], { newest }: ReadLog): readonly string[] {
  const current = audited.filter(isCurrent);
  const there = new Set(current.map(({ entry }) => entry.seq));
  return current
    .filter(({ entry }) => {
      const state = newest.get(stateOf(entry));
      return (
        state !== undefined && entry.seq < state.seq && entry.sha512 !== state.sha512 && there.has(state.seq)
      );
    })
    .map(({ found }) => found.file);
}

function byFile(a: Finding, b: Finding): number {
  const [one, other] = [a.file ?? "", b.file ?? ""];
  return one < other ? -1 : one > other ? 1 : 0;
}
