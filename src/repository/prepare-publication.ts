import { statSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { syncDirectory, writeNewFile } from "../log/durable-file.ts";
import { Fault, isRefusal, type Refusal } from "../outcome.ts";
import { DATABASE_KINDS, type DatabaseKind, type RepositoryPath } from "./database-path.ts";
import { copyAttributes, makeReadable, nextStamp, stamp } from "./file-attributes.ts";
import type { Publication, PublishedPair } from "./publication.ts";
import { digestOf } from "./publish.ts";
import { listPackages, replacedFiles } from "./replaced-packages.ts";
import { examineDatabase, type StagedDatabase } from "./staged-database.ts";
import { type Stage, syncFile } from "./staging.ts";
import type { UpdatePorts, UpdateRequest } from "./update.ts";

/** Longest wait for the moment that the pairs will bear: further ahead the clock is wrong, or was. */
const MAX_STAMP_WAIT_MS = 10_000;

/** pacman refuses a longer signature. */
const MAX_SIGNATURE_BYTES = 16 * 1024;

/**
 * Makes of the staged databases what can be published: examined, signed, dressed like the files that they replace, stamped,
 * durable. Resolves at the moment that the stamps name, or with a refusal.
 */
export async function preparePublication(
  { repository, args }: UpdateRequest,
  stage: Stage,
  ports: UpdatePorts,
): Promise<Publication | Refusal> {
  const files = DATABASE_KINDS.map((kind) => {
    const name = repository.names[kind];
    return { kind, name, path: join(stage.folder, name), live: join(repository.folder, name) };
  });
  const databases = new Map<DatabaseKind, StagedDatabase>();
  for (const { kind, name, path } of files) {
    const database = await examineDatabase(path, name, kind);
    if (isRefusal(database)) return database;
    databases.set(kind, database);
  }
  const removals = args.removeOld ? await findReplaced(repository, args.operands.slice(1), stage, ports) : [];
  stampFor(repository, ports.now()); // a clock that is wrong shows before anything is signed

  for (const { name } of files) ports.tell(`==> Signing database '${name}'...`);
  const signatures = await ports.sign(files, ports.signal);
  if (isRefusal(signatures)) return signatures;
  const pairs = files.map(({ kind, name, path, live }, index): PublishedPair => {
    const signature = signatures[index];
    const after = databases.get(kind)?.digest;
    if (after === undefined || signature === undefined || !isSignatureSize(signature.length))
      throw new Fault("signing-failed", `expected a signature of ${name}`);
    writeNewFile(`${path}.sig`, signature);
    return { kind, database: { before: digestOf(live), after }, signature: digestOf(`${path}.sig`) ?? "" };
  });

  const seconds = stampFor(repository, ports.now());
  for (const { path, live } of files) await finishPair(path, live, seconds, ports);
  syncDirectory(stage.folder);
  await sleep(Math.max(0, seconds * 1000 - ports.now()), undefined, { signal: ports.signal });
  return { version: 1, stage: basename(stage.folder), pairs, removals };
}

function isSignatureSize(bytes: number): boolean {
  return bytes > 0 && bytes <= MAX_SIGNATURE_BYTES;
}

/** Owner, group, mode and ACL as before, and the same for the signature; the same time for both; durable. */
async function finishPair(path: string, live: string, seconds: number, ports: UpdatePorts): Promise<void> {
  for (const file of [path, `${path}.sig`]) stamp(file, seconds);
  if (isThere(live)) await copyAttributes(live, [path], ports.env);
  else makeReadable(path);
  await copyAttributes(path, [`${path}.sig`], ports.env);
  for (const file of [path, `${path}.sig`]) syncFile(file);
}

/** The stamp of the next publication, in seconds since 1970: after that of every file that it replaces. */
function stampFor({ folder, names }: RepositoryPath, nowMs: number): number {
  const live = DATABASE_KINDS.flatMap((kind) => [names[kind], `${names[kind]}.sig`]);
  const times = live.map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0);
  const seconds = nextStamp(nowMs, Math.max(...times));
  if (seconds * 1000 - nowMs <= MAX_STAMP_WAIT_MS) return seconds;
  const last = new Date(Math.max(...times)).toISOString();
  throw new Fault("clock-behind", `expected a clock past ${last}, when ${names.db} was last changed`);
}

/** What `-R` will delete. */
async function findReplaced(
  { folder, names }: RepositoryPath,
  packages: readonly string[],
  stage: Stage,
  { env, cwd }: UpdatePorts,
): Promise<readonly string[]> {
  const live = join(folder, names.db);
  if (!isThere(live)) return [];
  const before = await listPackages(live, env);
  const after = await listPackages(join(stage.folder, names.db), env);
  return replacedFiles(before, after, packages, cwd);
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
