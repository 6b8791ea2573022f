import { copyFileSync, cpSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LogReader } from "../../../src/log/log-reader.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import { type CommandLineEnd, signerLog } from "../../cli/log/command-line.ts";
import { DAY, type HostInProcess, makeHost, START } from "../../sign/fixture.ts";
import type { Cleanup } from "../../support/cleanup.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { exportTo } from "../export/fixture.ts";

/** A repository that was signed, published, and whose log was exported. */
export interface Published {
  readonly host: HostInProcess;
  /** What a mirror has. */
  readonly tree: string;
  /** The exported log. */
  readonly tiles: string;
  /** The log's key. */
  readonly key: string;
  /** File of the OpenPGP public key. */
  readonly openpgp: string;
  /** Signs bytes on the host, a minute after the last time, without publishing them: the signature. */
  sign(name: string | undefined, bytes: Uint8Array): Promise<Uint8Array>;
  /** Signs bytes, and puts both into the tree. */
  publish(name: string, bytes: Uint8Array): Promise<void>;
  /** Exports what the log has now. */
  exportLog(): void;
  /** Runs `signer-log audit TREE --tiles …`. */
  audit(...args: readonly string[]): Promise<CommandLineEnd>;
  /** What it finds: `CODE FILE`, the file left out where a finding is about none. */
  findings(...args: readonly string[]): Promise<readonly string[]>;
}

/** Makes one out of a repository as repo-add left it, with both databases signed and linked as repo-add links signatures. */
export async function publishRepository(
  cleanup: Cleanup,
  repository: string,
  rules?: string,
): Promise<Published> {
  const folder = await tempDir(cleanup);
  const [tree, tiles, openpgp] = [join(folder, "tree"), join(folder, "tiles"), join(folder, "repo.asc")];
  cpSync(repository, tree, { recursive: true, verbatimSymlinks: true });
  const host = await makeHost(cleanup, { folder, ...(rules === undefined ? {} : { rules }) });
  writeFileSync(openpgp, (await host.host.loadKey("repo" as never)).armoredPublicKey);
  const reader = LogReader.open(host.stateDirectory);
  const key = encodeVerifierKey(reader.statedVerifier());
  reader.close();

  const sign: Published["sign"] = async (name, bytes) => {
    host.clock.now = new Date(host.clock.now.getTime() + 60_000);
    const answer = await host.call(name, bytes);
    if (answer.kind !== "signature") throw new Error(`expected a signature: ${JSON.stringify(answer)}`);
    return answer.receipt.signature;
  };
  const audit: Published["audit"] = (...args) =>
    signerLog(
      ["audit", tree, "--openpgp", openpgp, "--tiles", tiles, "--key", key, ...args],
      new Date(START.getTime() + DAY),
    );
  return {
    host,
    tree,
    tiles,
    key,
    openpgp,
    sign,
    publish: async (name, bytes) => {
      const signature = await sign(name, bytes);
      writeFileSync(join(tree, name), bytes);
      writeFileSync(join(tree, `${name}.sig`), signature);
    },
    exportLog: () => {
      const done = exportTo(host.stateDirectory, tiles);
      if (!done.endsWith("files")) throw new Error(done);
    },
    audit,
    findings: async (...args) => codesOf(await audit("--json", ...args)),
  };
}

/** `CODE FILE` of each finding that `--json` printed; throws where it neither found something nor found nothing. */
export function codesOf({ status, text, complaint }: CommandLineEnd): readonly string[] {
  const lines = text.split("\n").slice(0, -1);
  const expected = lines.length === 0 ? 0 : 65;
  if (status !== expected) throw new Error(`exit status ${status}: ${complaint}${text}`);
  return lines.map((line) => {
    const { code, file } = JSON.parse(line) as { code: string; file?: string };
    return file === undefined ? code : `${code} ${file}`;
  });
}

/** Links to a signature as repo-add makes them: `foo.db.sig` to `foo.db.tar.gz.sig`. */
export function linkSignature(tree: string, name: string): void {
  symlinkSync(`${name}.sig`, join(tree, `${name.replace(".tar.gz", "")}.sig`));
}

/** Keeps the published state as repo-add does when it writes a new one. */
export function backUp(tree: string, name: string): void {
  copyFileSync(join(tree, name), join(tree, `${name}.old`));
  copyFileSync(join(tree, `${name}.sig`), join(tree, `${name}.old.sig`));
}
