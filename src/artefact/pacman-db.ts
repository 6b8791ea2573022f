import { isRefusal, quoted, type Refusal, refusal } from "../outcome.ts";
import type { PackageFact } from "./artefact.ts";
import { MAX_DESC_BYTES, parseDesc, parseDirectory } from "./desc.ts";
import { FileList } from "./file-list.ts";
import type { ArchiveEntry, EntrySink } from "./ustar.ts";

/** The kinds of package database. */
export type DatabaseType = "db" | "files";

/** Most packages in one database: bounds what is remembered of each. The largest one has 15,000. */
const MAX_PACKAGES = 100_000;

/** The package whose directory was opened last. */
interface OpenPackage {
  /** NAME-VERSION/, with the slash. */
  readonly directory: string;
  readonly name: string;
  readonly version: string;
  hasDesc: boolean;
  hasFiles: boolean;
}

/** What is known when the archive has ended. */
export interface DatabaseContent {
  /** Undefined for a database without packages. */
  readonly type: DatabaseType | undefined;
  /** Sorted by name, in the order of bytes. */
  readonly packages: readonly PackageFact[];
  readonly newestBuildDate: number | undefined;
}

/**
 * Reads a package database from its archive's entries. Controlled by: the client, every entry. For each package its
 * directory NAME-VERSION, followed by `desc` and, in a files database, `files`, in either order, and nothing else; no
 * package name twice. Anything else is `bad-database`; a kind that is not wanted is `wrong-type` as soon as it shows. Keeps
 * name, version and checksum of each package, one `desc`, and no file list.
 */
export class PackageDatabase implements EntrySink {
  readonly #wanted: ReadonlySet<DatabaseType>;
  readonly #names = new Set<string>();
  readonly #packages: PackageFact[] = [];
  #newestBuildDate: number | undefined;
  #type: DatabaseType | undefined;
  #package: OpenPackage | undefined;
  /** The file list that is being read; undefined inside a desc. */
  #files: FileList | undefined;
  /** Size of the desc that is being read, in bytes, and where it is collected if it comes in several pieces. */
  #descSize = 0;
  #descFilled = 0;
  #desc: Buffer | undefined;

  /** `wanted`: the kinds that are not refused as soon as they show. */
  constructor(wanted: ReadonlySet<DatabaseType>) {
    this.#wanted = wanted;
  }

  begin(entry: ArchiveEntry): Refusal | undefined {
    const open = this.#package;
    if (entry.kind === "directory") return this.#closePackage() ?? this.#openPackage(entry.path);
    if (open === undefined || !entry.path.startsWith(open.directory)) return misplaced(entry.path);
    switch (entry.path.slice(open.directory.length)) {
      case "desc":
        return this.#beginDesc(open, entry.size);
      case "files":
        return this.#beginFiles(open);
      default:
        return misplaced(entry.path);
    }
  }

  content(piece: Buffer): Refusal | undefined {
    if (this.#files !== undefined) return this.#files.push(piece);
    if (this.#package === undefined) return undefined;
    if (piece.length === this.#descSize) return this.#readDesc(this.#package, piece);
    this.#desc ??= Buffer.alloc(this.#descSize);
    this.#descFilled += piece.copy(this.#desc, this.#descFilled);
    return this.#descFilled === this.#descSize ? this.#readDesc(this.#package, this.#desc) : undefined;
  }

  end(): Refusal | undefined {
    const refused = this.#files?.finish();
    this.#files = undefined;
    return refused;
  }

  /** The archive is complete: what it holds, or why it is no database. Called at most once. */
  finish(): DatabaseContent | Refusal {
    const refused = this.#closePackage();
    if (refused !== undefined) return refused;
    this.#packages.sort((one, other) => (one.name < other.name ? -1 : 1));
    return { type: this.#type, packages: this.#packages, newestBuildDate: this.#newestBuildDate };
  }

  #openPackage(path: string): Refusal | undefined {
    const directory = path.slice(0, -1);
    const parsed = parseDirectory(directory);
    if (parsed === undefined) return bad(`expected directories NAME-VERSION, not ${quoted(directory)}`);
    if (this.#names.has(parsed.name)) return bad(`expected each package once: ${quoted(parsed.name)}`);
    if (this.#names.size === MAX_PACKAGES) return bad(`expected at most ${MAX_PACKAGES} packages`);
    this.#names.add(parsed.name);
    this.#package = {
      directory: path,
      name: parsed.name,
      version: parsed.version,
      hasDesc: false,
      hasFiles: false,
    };
    return undefined;
  }

  /** The first package tells of which kind the database is; all others must be of the same. */
  #closePackage(): Refusal | undefined {
    const closed = this.#package;
    if (closed === undefined) return undefined;
    if (!closed.hasDesc) return bad(`expected a desc in ${quoted(closed.directory)}`);
    const type = closed.hasFiles ? "files" : "db";
    this.#type ??= type;
    if (type !== this.#type)
      return bad(`expected file lists in all packages or in none: ${quoted(closed.directory)}`);
    return this.#wanted.has(type) ? undefined : wrongType(type);
  }

  #beginDesc(open: OpenPackage, size: number): Refusal | undefined {
    if (open.hasDesc) return bad(`expected one desc in ${quoted(open.directory)}`);
    if (size > MAX_DESC_BYTES)
      return bad(`expected a desc of at most ${MAX_DESC_BYTES} bytes in ${quoted(open.directory)}`);
    if (size === 0) return bad(`expected a desc with content in ${quoted(open.directory)}`);
    open.hasDesc = true;
    this.#descSize = size;
    this.#descFilled = 0;
    return undefined;
  }

  #readDesc(open: OpenPackage, content: Buffer): Refusal | undefined {
    const desc = parseDesc(content, open.directory);
    this.#desc = undefined;
    if (isRefusal(desc)) return desc;
    if (desc.name !== open.name || desc.version !== open.version) {
      return bad(`expected NAME and VERSION of the directory in the desc of ${quoted(open.directory)}`);
    }
    this.#packages.push({
      name: open.name,
      version: open.version,
      sha256: desc.sha256,
    });
    this.#newestBuildDate = Math.max(this.#newestBuildDate ?? 0, desc.buildDate);
    return undefined;
  }

  #beginFiles(open: OpenPackage): Refusal | undefined {
    if (!this.#wanted.has("files")) return wrongType("files");
    if (open.hasFiles) return bad(`expected one file list in ${quoted(open.directory)}`);
    open.hasFiles = true;
    this.#files = new FileList(open.directory);
    return undefined;
  }
}

function misplaced(path: string): Refusal {
  if (/^\.(?:PKGINFO|BUILDINFO|MTREE|INSTALL|CHANGELOG)$/.test(path)) {
    return bad("expected a package database, not a package");
  }
  return bad(`expected a package's directory with its desc and files, not ${quoted(path)}`);
}

function wrongType(type: DatabaseType): Refusal {
  return type === "db"
    ? refusal("wrong-type", "expected a files database, not a db without file lists")
    : refusal("wrong-type", "expected a db without file lists, not a files database");
}

function bad(reason: string): Refusal {
  return refusal("bad-database", reason);
}
