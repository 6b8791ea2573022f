import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Fault, isRefusal, quoted, type Refusal } from "../outcome.ts";
import type { FileName } from "../request/request.ts";
import { DATABASE_KINDS, type RepositoryPath } from "./database-path.ts";
import { type LockHeld, RepositoryLock } from "./lock.ts";
import { preparePublication } from "./prepare-publication.ts";
import { type ProgramEnvironment, runProgram } from "./program.ts";
import { beginPublication, isPublicationBegun } from "./publication.ts";
import { publish } from "./publish.ts";
import { type Recovery, recover } from "./recovery.ts";
import type { RepoAddArguments, RepoAddVersion, RepoProgram } from "./repo-add-arguments.ts";
import { isRewritten, type Stage, stageDatabases } from "./staging.ts";
import { removeStages } from "./work-folder.ts";

/** A database that is to be signed, and the name that its signature is for. */
export interface DatabaseToSign {
  readonly path: string;
  readonly name: FileName;
}

/** What the update needs of the world. */
export interface UpdatePorts {
  /** Signs all files or none. Every signature MUST be verified over the bytes sent; they come in the order of the files. */
  readonly sign: (
    files: readonly DatabaseToSign[],
    signal: AbortSignal,
  ) => Promise<readonly Uint8Array[] | Refusal>;
  /** Why the signature is not good for the file under the pinned key; undefined where it is. */
  readonly verify: (path: string, signature: Uint8Array) => Promise<string | undefined>;
  /** Of the programs that are run. */
  readonly env: ProgramEnvironment;
  readonly cwd: string;
  /** Ms since 1970. */
  readonly now: () => number;
  /** Says on stderr what somebody should know. One line, a stranger's text only quoted. */
  readonly note: (text: string) => void;
  /** Says on stdout what is being done, as repo-add does; nothing under `-q`. */
  readonly tell: (text: string) => void;
  /** Aborted when the user wants it to end; once the publication has begun it is not looked at. */
  readonly signal: AbortSignal;
}

/** One command line, understood. */
export interface UpdateRequest {
  readonly program: RepoProgram;
  readonly version: RepoAddVersion;
  readonly repository: RepositoryPath;
  readonly args: RepoAddArguments;
}

export type UpdateOutcome =
  /** Everything that was asked for is published, or there was nothing to do. */
  | { readonly kind: "done" }
  | LockHeld
  /** repo-add has said why, and changed nothing. */
  | { readonly kind: "repo-add-failed"; readonly status: number }
  /** `-v`: a live signature is not good; nothing was changed. */
  | { readonly kind: "bad-signature"; readonly name: string; readonly objection: string }
  | Refusal;

/**
 * Updates a repository: the lock, what a killed run left, staged copies, the real repo-add, a strict look at what it made, both
 * signatures, and only then the publication. Whatever fails before that leaves the live files as they were.
 */
export async function updateRepository(request: UpdateRequest, ports: UpdatePorts): Promise<UpdateOutcome> {
  const { repository, args } = request;
  const lock = await RepositoryLock.acquire(repository, args.wait, ports.signal, ({ lockFile, holder }) =>
    ports.note(`waits for process ${quoted(holder)}, which holds ${quoted(lockFile, 300)}`),
  );
  if (!(lock instanceof RepositoryLock)) return lock;
  try {
    tellRecovery(recover(lock), request, ports);
    return args.recover ? { kind: "done" } : await updateLocked(request, ports);
  } finally {
    // A publication that could not be completed keeps repo-add locked out; the next run of ours takes the lock over.
    if (!isPublicationBegun(repository)) lock.release();
  }
}

async function updateLocked(request: UpdateRequest, ports: UpdatePorts): Promise<UpdateOutcome> {
  const { repository, args } = request;
  if (args.verify) {
    const bad = await verifyLive(repository, ports);
    if (bad !== undefined) return bad;
    if (args.operands.length === 1) return { kind: "done" };
  }
  try {
    const stage = stageDatabases(repository);
    const status = await runRepoAdd(request, stage, ports);
    if (status !== 0) return { kind: "repo-add-failed", status };
    if (isNothingToDo(request, stage)) return { kind: "done" };
    const publication = await preparePublication(request, stage, ports);
    if (isRefusal(publication)) return publication;
    beginPublication(repository, publication);
    const { leftAlone, notDeleted } = publish(repository, publication);
    if (leftAlone.length > 0)
      throw new Fault("repository-failed", `expected nobody else to change ${leftAlone.join(" and ")} now`);
    if (notDeleted.length > 0)
      throw new Fault("repository-failed", `published, but could not delete ${quotedList(notDeleted)}`);
    for (const path of publication.removals.filter((path) => !path.endsWith(".sig")))
      ports.tell(`  -> Removed old package file '${basename(path)}'`);
    return { kind: "done" };
  } finally {
    if (!isPublicationBegun(repository)) removeStages(repository);
  }
}

/** `-v`: an unsigned database is no objection, as with repo-add. */
async function verifyLive(
  { folder, names }: RepositoryPath,
  ports: UpdatePorts,
): Promise<UpdateOutcome | undefined> {
  for (const kind of DATABASE_KINDS) {
    const name = names[kind];
    const path = join(folder, name);
    if (!existsSync(path)) continue;
    if (!existsSync(`${path}.sig`)) {
      ports.note(`${name} has no signature, which is not verified`);
      continue;
    }
    const objection = await ports.verify(path, readFileSync(`${path}.sig`));
    if (objection !== undefined) return { kind: "bad-signature", name, objection };
  }
  return undefined;
}

/** The status of the real program; 0 without it where both databases are there and only to be signed again. */
async function runRepoAdd(
  { program, version, repository, args }: UpdateRequest,
  stage: Stage,
  { env, cwd, signal }: UpdatePorts,
): Promise<number> {
  const rest = args.operands.slice(1);
  const complete = DATABASE_KINDS.every((kind) => stage.copies[kind] !== undefined);
  if (rest.length === 0 && complete) return 0;
  const database = join(stage.folder, repository.names.db);
  const words = [...args.passed, ...(version.readsLikeGetopt ? ["--"] : []), database, ...rest];
  const { status } = await runProgram(program, words, { env, cwd, signal, output: "pass" });
  signal.throwIfAborted();
  return status;
}

/** Where repo-add, from 6.1 on, found nothing to change in databases that are signed. */
function isNothingToDo({ repository, args }: UpdateRequest, stage: Stage): boolean {
  if (args.operands.length === 1 || isRewritten(repository, stage)) return false;
  const { folder, names } = repository;
  return DATABASE_KINDS.every((kind) => existsSync(join(folder, `${names[kind]}.sig`)));
}

function tellRecovery(recovery: Recovery, { repository, args }: UpdateRequest, ports: UpdatePorts): void {
  const where = repository.names.db;
  switch (recovery.kind) {
    case "completed":
      if (recovery.leftAlone.length > 0)
        ports.note(`left ${recovery.leftAlone.join(" and ")} alone: changed after a run that was killed`);
      else if (recovery.notDeleted.length > 0)
        ports.note(`could not delete ${quotedList(recovery.notDeleted)}`);
      else ports.note(`completed the publication of ${where} that was begun by a run that was killed`);
      break;
    case "cleared":
      ports.note(`cleared up after a run that was killed: what is published of ${where} is whole`);
      break;
    case "nothing":
      if (args.recover) ports.tell(`nothing to recover in ${where}`);
  }
}

function quotedList(texts: readonly string[]): string {
  return texts.map((text) => quoted(text, 300)).join(" and ");
}
