import { createHash } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Refusal } from "../../src/outcome.ts";
import { isRefusal } from "../../src/outcome.ts";
import { parseDatabasePath, type RepositoryPath } from "../../src/repository/database-path.ts";
import {
  parseRepoAddArguments,
  parseRepoAddVersion,
  type RepoAddVersion,
  type RepoProgram,
} from "../../src/repository/repo-add-arguments.ts";
import { type UpdateOutcome, type UpdatePorts, updateRepository } from "../../src/repository/update.ts";

/** A folder of its own, gone when the test is. */
export function freshFolder(): string {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "signer-repository-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}

export function repositoryAt(path: string, cwd = "/"): RepositoryPath {
  const repository = parseDatabasePath(path, cwd);
  if (repository === undefined) throw new Error(`not a database's path: ${path}`);
  return repository;
}

export function versionOf(text: string): RepoAddVersion {
  const version = parseRepoAddVersion(`repo-add (pacman) ${text}\n\n`);
  if (version === undefined) throw new Error(`not a version: ${text}`);
  return version;
}

/** Stands for a signature: a reader sees at once whether it belongs to the file, and no two are the same. */
export function standIn(content: Uint8Array): Buffer {
  const digest = createHash("sha256").update(content).digest("hex");
  return Buffer.from(`${digest} ${process.hrtime.bigint()}\n`);
}

/** Whether a stand-in belongs to the content. */
export function belongs(content: Uint8Array, signature: Uint8Array): boolean {
  return Buffer.from(signature).toString().startsWith(createHash("sha256").update(content).digest("hex"));
}

/** Both pairs and both links of a repository belong together, and nothing of ours or repo-add's is left beside them. */
export function stateOf({ folder, names, links }: RepositoryPath): Record<string, boolean> {
  const read = (name: string) => readFileSync(join(folder, name));
  const pair = (name: string) =>
    existsSync(join(folder, `${name}.sig`)) && belongs(read(name), read(`${name}.sig`));
  return {
    db: pair(names.db),
    files: pair(names.files),
    dbLink: pair(links.db),
    filesLink: pair(links.files),
    locked: existsSync(join(folder, `${names.db}.lck`)),
    worked: readdirSync(folder).some((name) => name.startsWith(".signer")),
  };
}

/** What {@link stateOf} says of a repository that is whole. */
export const WHOLE = {
  db: true,
  files: true,
  dbLink: true,
  filesLink: true,
  locked: false,
  worked: false,
};

export type Update = UpdateOutcome & { readonly notes: readonly string[]; readonly told: readonly string[] };

/** Runs our repo-add in this process, with stand-ins for signatures unless `ports` says otherwise. */
export async function update(
  argv: readonly string[],
  ports: Partial<UpdatePorts> & { readonly program?: RepoProgram; readonly version?: string } = {},
): Promise<Update> {
  const { program = "repo-add", version: text = "6.0.2", cwd = "/", ...others } = ports;
  const version = versionOf(text);
  const args = parseRepoAddArguments(["-q", ...argv], version);
  if (isRefusal(args)) throw new Error(args.reason);
  const notes: string[] = [];
  const told: string[] = [];
  const outcome = await updateRepository(
    { program, version, args, repository: repositoryAt(args.operands[0] ?? "", cwd) },
    {
      sign: async (files): Promise<readonly Uint8Array[] | Refusal> =>
        files.map(({ path }) => standIn(readFileSync(path))),
      verify: async (path, signature) =>
        belongs(readFileSync(path), signature) ? undefined : "it is of another file",
      env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
      now: Date.now,
      note: (text) => notes.push(text),
      tell: (text) => told.push(text),
      signal: new AbortController().signal,
      ...others,
      cwd,
    },
  );
  return { ...outcome, notes, told };
}

/** As if the repository had last been changed long ago: the next publication need not wait for its second. */
export function age({ folder, names }: RepositoryPath): void {
  for (const name of [names.db, names.files])
    for (const file of [name, `${name}.sig`])
      if (existsSync(join(folder, file))) utimesSync(join(folder, file), 1_600_000_000, 1_600_000_000);
}
