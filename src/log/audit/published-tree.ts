import { type Dirent, readdirSync, realpathSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { parseArtefactName } from "../../artefact/artefact-name.ts";
import { Fault, quoted } from "../../outcome.ts";
import type { Finding } from "./finding.ts";
import { isUnreadable, readSmallFile } from "./regular-file.ts";
import { MAX_SIGNATURE_BYTES, readSignatureFile, type SignatureFile } from "./signature-file.ts";

/** A signature of ours in a tree. */
export interface FoundSignature extends Extract<SignatureFile, { readonly kind: "ours" }> {
  /** Path below the tree. */
  readonly file: string;
  /** Path, below the tree, of the file that it is beside: without `.sig`. */
  readonly artefact: string;
  /** The name that the signed file should have: without the `.old` of repo-add's backups. */
  readonly name: string;
  /** Whether it is the backup of an older state, as repo-add keeps it: `foo.db.tar.gz.old`. */
  readonly backup: boolean;
}

/** What a published tree holds. */
export interface PublishedTree {
  readonly folder: string;
  /** In the order of their paths. */
  readonly signatures: readonly FoundSignature[];
  /** Number of other files called `.sig`: of other keys, or of no OpenPGP key. */
  readonly foreign: number;
  /** Links to folders outside of the tree: what is behind them was not looked at. */
  readonly linksOutside: readonly string[];
  readonly findings: readonly Finding[];
}

const SUFFIX = ".sig";
const BACKUP = ".old";

/**
 * Reads every `.sig` below a folder. Links to files are followed, wherever they lead; links to folders are not, so that there
 * are no loops. Nothing but regular files is opened. Memory grows with the number of our signatures and of the names in a
 * folder. Controlled by: whoever publishes the tree. Fault `no-state` where the folder itself cannot be read.
 */
export function readPublishedTree(
  folder: string,
  isOurs: (fingerprintOrKeyId: string) => boolean,
): PublishedTree {
  const signatures: FoundSignature[] = [];
  const linksOutside: string[] = [];
  const findings: Finding[] = [];
  let foreign = 0;
  const report = (code: Finding["code"], file: string, what: string) =>
    findings.push({ code, file, seq: undefined, what });

  const root = realRoot(folder);
  const waiting = [""];
  for (let below = waiting.pop(); below !== undefined; below = waiting.pop()) {
    const entries = namesIn(join(root, below));
    if (typeof entries === "string") {
      if (below === "") throw new Fault("no-state", `${quoted(folder, 200)}: ${entries}`);
      report("unreadable", below, entries);
      continue;
    }
    const folders: string[] = [];
    for (const entry of entries) {
      const path = join(below, entry.name);
      if (entry.name.includes("\ufffd")) report("unreadable", path, "its name is not in utf-8");
      else if (entry.isDirectory()) folders.push(path);
      else if (entry.name.endsWith(SUFFIX)) {
        const read = readSignature(root, path, isOurs);
        if (read === "foreign") foreign++;
        else if ("code" in read) findings.push(read);
        else signatures.push(read);
      } else if (entry.isSymbolicLink() && leadsToFolderOutside(root, path)) linksOutside.push(path);
    }
    waiting.push(...folders.toReversed());
  }
  return { folder: root, signatures, foreign, linksOutside, findings };
}

function realRoot(folder: string): string {
  try {
    return realpathSync(folder);
  } catch (cause) {
    throw new Fault(
      "no-state",
      `${quoted(folder, 200)}: it cannot be read (${(cause as NodeJS.ErrnoException).code})`,
      { cause },
    );
  }
}

/** By name; why not, where the folder cannot be read. */
function namesIn(folder: string): readonly Dirent[] | string {
  try {
    return readdirSync(folder, { withFileTypes: true }).sort((a, b) =>
      a.name < b.name ? -1 : a.name > b.name ? 1 : 0,
    );
  } catch (error) {
    return `it cannot be read (${(error as NodeJS.ErrnoException).code})`;
  }
}

function readSignature(
  root: string,
  file: string,
  isOurs: (fingerprintOrKeyId: string) => boolean,
): FoundSignature | Finding | "foreign" {
  const artefact = file.slice(0, -SUFFIX.length);
  const base = artefact.slice(artefact.lastIndexOf(sep) + 1);
  const backup = base.endsWith(BACKUP);
  const name = backup ? base.slice(0, -BACKUP.length) : base;
  const finding = (code: Finding["code"], what: string): Finding => ({ code, file, seq: undefined, what });
  const content = readSmallFile(join(root, file), MAX_SIGNATURE_BYTES);
  if (isUnreadable(content)) return finding("unreadable", content.reason);
  const read = readSignatureFile(content, isOurs);
  switch (read.kind) {
    case "ours":
      return { ...read, file, artefact, name, backup };
    case "made-elsewhere":
      return finding(
        "made-elsewhere",
        `it names our key, and is not what the signing host makes: ${read.reason}`,
      );
    case "foreign":
      return "foreign";
    case "no-signature":
      // Other programs have files of this suffix too; beside a database or an image nothing else belongs.
      return parseArtefactName(name) === undefined
        ? "foreign"
        : finding("no-signature", `no openpgp signature: ${read.reason}`);
  }
}

function leadsToFolderOutside(root: string, path: string): boolean {
  try {
    const target = realpathSync(join(root, path));
    const way = relative(root, target);
    const outside = way === ".." || way.startsWith(`..${sep}`);
    return outside && readdirSync(target).length >= 0;
  } catch {
    return false; // a link to a file, or to nothing
  }
}
