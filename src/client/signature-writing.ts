import { randomBytes } from "node:crypto";
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { syncDirectory } from "../log/durable-file.ts";
import { Fault, quoted } from "../outcome.ts";

/** Everybody may check a signature. */
const MODE = 0o644;

/** A signature and where it belongs. */
export interface SignatureToWrite {
  readonly path: string;
  /** Never empty. */
  readonly content: Uint8Array;
}

/**
 * Writes signatures durably, each under its name only when it is whole: all under temporary names in the same folders first, then
 * renamed, then the folders synced. Synchronous: no signal handler of this process runs in the middle.
 * @throws Fault `signature-not-written`, after which no temporary file is left; names that were changed before it stay so
 */
export function writeSignatures(signatures: readonly SignatureToWrite[]): void {
  const written: { readonly from: string; readonly to: string }[] = [];
  let path = "";
  try {
    for (const signature of signatures) {
      ({ path } = signature);
      expectReplaceable(path);
      const from = join(dirname(path), `.${basename(path).slice(0, 200)}.${randomBytes(6).toString("hex")}`);
      written.push({ from, to: path });
      writeWhole(from, signature.content);
    }
    for (const { from, to } of written) {
      path = to;
      renameSync(from, to);
    }
    for (const folder of new Set(written.map(({ to }) => dirname(to)))) {
      path = folder;
      syncDirectory(folder);
    }
  } catch (cause) {
    for (const { from } of written) rmSync(from, { force: true });
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new Fault("signature-not-written", `expected ${quoted(path, 300)} to be writable (${why})`, {
      cause,
    });
  }
}

/** A rename would put a file in the place of a device or socket. */
function expectReplaceable(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat !== undefined && !stat.isFile() && !stat.isSymbolicLink())
    throw Object.assign(new Error("not a file"), { code: "not a file" });
}

function writeWhole(path: string, content: Uint8Array): void {
  if (content.length === 0) throw new Error("an empty signature");
  const file = openSync(path, "wx", 0o600);
  try {
    for (let at = 0; at < content.length; ) at += writeSync(file, content, at);
    fchmodSync(file, MODE);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
