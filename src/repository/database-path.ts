import { basename, dirname, resolve } from "node:path";
import { parseArtefactName } from "../artefact/artefact-name.ts";
import { type FileName, parseFileName } from "../request/request.ts";

/** The two kinds of database of one repository, in the order in which they are published. */
export const DATABASE_KINDS = ["db", "files"] as const;
export type DatabaseKind = (typeof DATABASE_KINDS)[number];

/** A repository, as the path of its database names it. Only {@link parseDatabasePath} makes one. */
export interface RepositoryPath {
  /** Absolute path of the folder that is served. */
  readonly folder: string;
  /** File names of the two databases: `core.db.tar.gz` and `core.files.tar.gz`. */
  readonly names: Readonly<Record<DatabaseKind, FileName>>;
  /** What clients ask for, symbolic links to the two: `core.db` and `core.files`. */
  readonly links: Readonly<Record<DatabaseKind, string>>;
}

const NAME = /^(.+)\.db(\.tar(?:\.[A-Za-z0-9]+)?)$/;

/**
 * Reads the path of a database as repo-add takes it, `DIR/NAME.db.tar[.gz|.zst]`, relative to `cwd`. Controlled by: whoever
 * calls. Undefined for a name that repo-add or the signing host would not take (a compression that it does not read included).
 */
export function parseDatabasePath(path: string, cwd: string): RepositoryPath | undefined {
  const absolute = resolve(cwd, path);
  const db = parseFileName(basename(absolute));
  const [, repository, suffix] = NAME.exec(db ?? "") ?? [];
  if (db === undefined || repository === undefined || suffix === undefined || path.endsWith("/"))
    return undefined;
  const files = parseFileName(`${repository}.files${suffix}`);
  const artefact = parseArtefactName(db);
  if (files === undefined || artefact?.type !== "db" || artefact.unsupported !== undefined) return undefined;
  return {
    folder: dirname(absolute),
    names: { db, files },
    links: { db: `${repository}.db`, files: `${repository}.files` },
  };
}
