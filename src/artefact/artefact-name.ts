import type { ArtefactType } from "./artefact.ts";

/** What a file name promises about the bytes, before one of them is read. Only {@link parseArtefactName} makes one. */
export interface ArtefactName {
  readonly type: ArtefactType;
  /** Undefined where the name says nothing about it: `foo.db`, `foo.files`, images, and {@link unsupported} ones. */
  readonly compression: "none" | "gzip" | "zstd" | undefined;
  /** A compression that repo-add writes and this program does not read, such as `xz`; undefined for all others. */
  readonly unsupported: string | undefined;
  /** The repository's name, as in `[core]` of pacman.conf; undefined for images. */
  readonly repository: string | undefined;
  /** The date in an image's name, a day that exists; undefined where it has none, and for databases. */
  readonly date: CalendarDate | undefined;
}

/** A day of the proleptic Gregorian calendar; month and day count from 1. */
export interface CalendarDate {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

/** The grammar of NAME in a request (DESIGN.md): never a leading `-` or `.`, never a `/`, at most 255 bytes. */
const NAME = /^[A-Za-z0-9@_+][A-Za-z0-9@._+-]{0,254}$/;

/** Repository, type, then nothing (a real file `foo.db`) or `.tar` and perhaps one more suffix. */
const DATABASE = /^(.+)\.(db|files)(\.tar(?:\.([A-Za-z0-9]+))?)?$/;

/** Suffixes after `.db.tar` and `.files.tar` that repo-add accepts, and what this program makes of them. */
const COMPRESSIONS: ReadonlyMap<string, Pick<ArtefactName, "compression" | "unsupported">> = new Map([
  ["gz", { compression: "gzip", unsupported: undefined }],
  ["zst", { compression: "zstd", unsupported: undefined }],
  ["bz2", { compression: undefined, unsupported: "bzip2" }],
  ["xz", { compression: undefined, unsupported: "xz" }],
  ["lrz", { compression: undefined, unsupported: "lrzip" }],
  ["lzo", { compression: undefined, unsupported: "lzop" }],
  ["Z", { compression: undefined, unsupported: "compress" }],
  ["lz4", { compression: undefined, unsupported: "lz4" }],
  ["lz", { compression: undefined, unsupported: "lzip" }],
]);

/** YYYY.MM.DD as archiso writes it, not a part of a longer number. */
const DATE = /(?<!\d)(\d{4})\.(\d{2})\.(\d{2})(?!\d)/g;

/**
 * Reads a file name such as `core.db.tar.gz`, `core.files`, `archlinux-2026.11.01-x86_64.iso`. Controlled by: the client.
 * Undefined for every other name: one outside the request's grammar, a signature or an `.old` copy, a repository called
 * `local` (pacman keeps that name for itself), an image's name with a day that does not exist or with two dates.
 */
export function parseArtefactName(name: string): ArtefactName | undefined {
  if (!NAME.test(name)) return undefined;
  return name.endsWith(".iso") ? parseImageName(name.slice(0, -".iso".length)) : parseDatabaseName(name);
}

function parseDatabaseName(name: string): ArtefactName | undefined {
  const [, repository, type, tar, suffix] = DATABASE.exec(name) ?? [];
  if (repository === undefined || repository === "local" || (type !== "db" && type !== "files"))
    return undefined;
  const plain = { compression: tar === undefined ? undefined : ("none" as const), unsupported: undefined };
  const compression = suffix === undefined ? plain : COMPRESSIONS.get(suffix);
  return compression && { type, ...compression, repository, date: undefined };
}

function parseImageName(stem: string): ArtefactName | undefined {
  const dates = [...stem.matchAll(DATE)].map(([, year, month, day]) => calendarDate(year, month, day));
  if (stem === "" || dates.length > 1 || (dates.length === 1 && dates[0] === undefined)) return undefined;
  return {
    type: "iso",
    compression: undefined,
    unsupported: undefined,
    repository: undefined,
    date: dates[0],
  };
}

/** The day that three digit groups stand for; undefined where the calendar has no such day (or year 0). */
function calendarDate(...digits: readonly (string | undefined)[]): CalendarDate | undefined {
  const [year = 0, month = 0, day = 0] = digits.map(Number);
  const lastDay = new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate();
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > lastDay) return undefined;
  return { year, month, day };
}
