import { isRefusal, quoted, type Refusal, refusal } from "../outcome.ts";
import type { ArtefactFacts, Expectation, Recogniser } from "./artefact.ts";
import { type ArtefactName, parseArtefactName } from "./artefact-name.ts";
import { DEFAULT_LIMITS } from "./compression.ts";
import { type Compression, startDatabase } from "./database.ts";
import type { ExpansionLimits } from "./expansion.ts";
import { GZIP_MAGIC } from "./gzip.ts";
import { refuseImageInside } from "./image-inside.ts";
import { startImage } from "./iso9660.ts";
import type { DatabaseType } from "./pacman-db.ts";
import { isSkippableFrame, ZSTD_MAGIC } from "./zstd-frame.ts";

/** Compressions that repo-add can write and this program does not read, by the first bytes of their formats. */
const UNSUPPORTED: readonly (readonly [name: string, magic: Buffer])[] = [
  ["xz", Buffer.from("fd377a585a00", "hex")], // The .xz File Format, 2.1.1.1
  ["bzip2", Buffer.from("BZh", "latin1")],
  ["lz4", Buffer.from("04224d18", "hex")], // LZ4 Frame Format, magic 0x184D2204, little-endian
  ["lz4", Buffer.from("02214c18", "hex")], // LZ4 Frame Format, legacy frame, 0x184C2102
  ["lzop", Buffer.from("894c5a4f000d0a1a0a", "hex")],
  ["lrzip", Buffer.from("LRZI", "latin1")],
  ["compress", Buffer.from("1f9d", "hex")],
  ["lzip", Buffer.from("LZIP", "latin1")],
];

/** POSIX.1-2017, pax, "ustar Header Block": magic at 257. GNU tar's differs behind these letters and is refused later. */
const USTAR_OFFSET = 257;
const USTAR_MAGIC = Buffer.from("ustar", "latin1");

/** So many bytes are looked at to tell one kind from another. */
const LOOK_BYTES = 512;

/** An uncompressed database without packages is this many NULs. An image can begin with as many, and goes on. */
const EMPTY_ARCHIVE_BYTES = 10240;

/** ECMA-119, 8.1.2: `CD001` ends here, in sector 16; a shorter stream has not shown whether it is an image. */
const IMAGE_MAGIC_END = 16 * 2048 + 6;

/**
 * Starts recognising one artefact, by its first bytes; they must agree with `expectation`. Controlled by: the client, every
 * byte and the name; `limits` by the administrator. Besides what the recognisers of databases and images refuse:
 * `empty-input`, `not-recognised`, `unsupported-compression`, `wrong-type`, `name-mismatch`.
 */
export function recognise(expectation: Expectation, limits: ExpansionLimits = DEFAULT_LIMITS): Recogniser {
  return new FirstBytesRecogniser(expectation, limits);
}

/** Waits for enough bytes, chooses a recogniser, and passes everything on to it. */
class FirstBytesRecogniser implements Recogniser {
  readonly #expectation: Expectation;
  readonly #limits: ExpansionLimits;
  /** Copies of what came before the choice: less than {@link EMPTY_ARCHIVE_BYTES} and one chunk. */
  #waiting: Buffer[] = [];
  #receivedBytes = 0;
  #chosen: Recogniser | undefined;

  constructor(expectation: Expectation, limits: ExpansionLimits) {
    this.#expectation = expectation;
    this.#limits = { ...limits, maxBytes: Math.min(limits.maxBytes, expectation.maxBytes) };
  }

  async push(chunk: Uint8Array): Promise<Refusal | undefined> {
    this.#receivedBytes += chunk.length;
    if (this.#chosen !== undefined) return this.#chosen.push(chunk);
    this.#waiting.push(Buffer.from(chunk));
    if (this.#receivedBytes < LOOK_BYTES) return undefined;
    const start = Buffer.concat(this.#waiting);
    this.#waiting = [start];
    if (isZero(start) && start.length <= EMPTY_ARCHIVE_BYTES) return undefined;
    const chosen = await this.#choose(start);
    return isRefusal(chosen) ? chosen : undefined;
  }

  async finish(): Promise<ArtefactFacts | Refusal> {
    if (this.#receivedBytes === 0)
      return refusal("empty-input", "expected a database or an image, got not one byte");
    const chosen = this.#chosen ?? (await this.#choose(Buffer.concat(this.#waiting)));
    return isRefusal(chosen) ? chosen : chosen.finish();
  }

  close(): void {
    this.#waiting = [];
    this.#chosen?.close();
  }

  async #choose(start: Buffer): Promise<Recogniser | Refusal> {
    const chosen = choose(start, this.#expectation, this.#limits);
    if (isRefusal(chosen)) return chosen;
    this.#waiting = [];
    this.#chosen = chosen;
    return (await chosen.push(start)) ?? chosen;
  }
}

/** `start`: at least {@link LOOK_BYTES}, more if they are zeros, or the whole stream if it is shorter. */
function choose(start: Buffer, expectation: Expectation, limits: ExpansionLimits): Recogniser | Refusal {
  const name = expectation.name === undefined ? undefined : parseArtefactName(expectation.name);
  if (expectation.name !== undefined && name === undefined) {
    return refusal(
      "name-mismatch",
      `expected a name such as core.db.tar.gz or x-2026.11.01.iso, not ${quoted(expectation.name)}`,
    );
  }
  const unsupported = UNSUPPORTED.find(([, magic]) => start.subarray(0, magic.length).equals(magic))?.[0];
  if (unsupported !== undefined) {
    return refusal("unsupported-compression", `expected gzip, zstd or no compression, not ${unsupported}`);
  }
  const compression = compressionOf(start);
  if (compression === undefined) return chooseImage(expectation, name);
  const wanted = wantedDatabases(expectation, name);
  if (wanted.size === 0) return refusal("wrong-type", `expected ${promised(expectation)}, not a database`);
  const wrongCompression = checkCompression(compression, name);
  if (wrongCompression !== undefined) return wrongCompression;
  const named = name?.type === "iso" ? undefined : name?.type;
  return refuseImageInside(startDatabase({ compression, wanted, named }, limits));
}

function compressionOf(start: Buffer): Compression | undefined {
  if (start.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC)) return "gzip";
  // A skippable frame is refused by name where zstd's frames are walked.
  if (start.subarray(0, ZSTD_MAGIC.length).equals(ZSTD_MAGIC) || isSkippableFrame(start)) return "zstd";
  if (start.subarray(USTAR_OFFSET, USTAR_OFFSET + USTAR_MAGIC.length).equals(USTAR_MAGIC)) return "none";
  return start.length === EMPTY_ARCHIVE_BYTES && isZero(start) ? "none" : undefined;
}

/** The kinds of database that both the name and the client's rules allow. */
function wantedDatabases({ types }: Expectation, name: ArtefactName | undefined): ReadonlySet<DatabaseType> {
  const kinds = ["db", "files"] as const;
  return new Set(kinds.filter((kind) => types.has(kind) && (name === undefined || name.type === kind)));
}

function checkCompression(compression: Compression, name: ArtefactName | undefined): Refusal | undefined {
  const expected = name?.unsupported ?? name?.compression ?? compression;
  if (expected === compression) return undefined;
  return refusal("name-mismatch", `expected ${label(expected)}, as the name says, not ${label(compression)}`);
}

function label(compression: string): string {
  return compression === "none" ? "no compression" : compression;
}

function chooseImage(expectation: Expectation, name: ArtefactName | undefined): Recogniser | Refusal {
  if (!expectation.types.has("iso")) return notRecognised(expectation);
  const image = startImage(expectation);
  if (name?.type === "iso") return image;
  // Nothing promised an image: what ends before one could show, or shows none, is simply not recognised.
  let receivedBytes = 0;
  const settle = <Outcome>(outcome: Outcome): Outcome | Refusal => {
    if (!isRefusal(outcome)) return outcome;
    const unseen = outcome.code === "truncated" && receivedBytes < IMAGE_MAGIC_END;
    return unseen || outcome.code === "not-recognised" ? notRecognised(expectation) : outcome;
  };
  return {
    push: async (chunk) => {
      receivedBytes += chunk.length;
      return settle(await image.push(chunk));
    },
    finish: async () => settle(await image.finish()),
    close: () => image.close(),
  };
}

function notRecognised(expectation: Expectation): Refusal {
  return refusal(
    "not-recognised",
    `expected ${promised(expectation)}: a gzip, zstd or ustar archive, or an ISO 9660 image`,
  );
}

function promised({ name, types }: Expectation): string {
  return name === undefined ? [...types].join(" or ") : `what ${quoted(name)} promises`;
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}
