import { type Refusal, refusal } from "../outcome.ts";

/** Bytes of a sector, and of a logical block: an image with other blocks is refused (ECMA-119 §6.1.2, §6.2.2). */
export const SECTOR_BYTES = 2048;

/** The sector of the first volume descriptor, after the system area (ECMA-119 §6.2.1). */
export const FIRST_DESCRIPTOR = 16;

/** Volume descriptor types (ECMA-119 §8.1.1). */
export const DESCRIPTOR = { bootRecord: 0, primary: 1, supplementary: 2, terminator: 255 } as const;

/** What of the primary volume descriptor is used. Only {@link parsePrimaryDescriptor} makes one. */
export interface PrimaryDescriptor {
  /** Sectors of the whole image, at least one behind the descriptors. */
  readonly volumeSectors: number;
  /** Printable ASCII without the padding, as are the next two: 0 to 32 characters, then 0 to 128. */
  readonly volumeId: string;
  readonly publisher: string;
  readonly application: string;
  /** RFC 3339, UTC, milliseconds; undefined where it is not set. */
  readonly createdAt: string | undefined;
}

/** What is expected of a sector, and whether it holds; the first that does not is what the refusal says. */
export type Expected = readonly [holds: boolean, what: string];

/** The refusal of the first expectation that does not hold; undefined where all do. */
export function firstUnmet(expected: readonly Expected[]): Refusal | undefined {
  const unmet = expected.find(([holds]) => !holds);
  return unmet && refusal("bad-image", `expected ${unmet[1]}`);
}

/** Whether bytes `from` up to, not including, `to` are all zero. */
export function isZero(sector: Buffer, from: number, to: number): boolean {
  return sector.subarray(from, to).every((byte) => byte === 0);
}

/** Whether a sector is a volume descriptor of any type: standard identifier `CD001` (ECMA-119 §8.1.2). */
export function isDescriptor(sector: Buffer): boolean {
  return sector.toString("latin1", 1, 6) === "CD001";
}

/**
 * Reads the primary volume descriptor, sector 16 (ECMA-119 §8.4), 2048 bytes. Controlled by: the client.
 * `bad-image` where a field contradicts itself, its twin in the other byte order or the size that the volume gives.
 */
export function parsePrimaryDescriptor(sector: Buffer): PrimaryDescriptor | Refusal {
  const createdAt = parseDate(sector.toString("latin1", 813, 829), sector.readInt8(829)); // §8.4.26
  const unmet = firstUnmet([
    [sector[0] === DESCRIPTOR.primary, "the primary volume descriptor first"],
    [sector[6] === 1, "a primary volume descriptor of version 1"], // §8.4.3
    [sector[7] === 0 && isZero(sector, 88, 120), "zeros in the unused fields of the primary descriptor"], // §8.4.4, §8.4.9
    [isText(sector, 8, 72), "printable ASCII as system and volume identifier"], // §8.4.5, §8.4.6
    [isText(sector, 190, 702), "printable ASCII as set, publisher, preparer and application identifier"], // §8.4.19 to 22
    [createdAt !== "malformed", "a volume creation date that exists, or none"],
    ...layout(sector, "primary"),
  ]);
  if (unmet || createdAt === "malformed")
    return unmet ?? refusal("bad-image", "expected a volume creation date");
  return {
    volumeSectors: sector.readUInt32LE(80),
    volumeId: text(sector, 40, 72),
    publisher: text(sector, 318, 446),
    application: text(sector, 574, 702),
    createdAt,
  };
}

/**
 * Checks a supplementary volume descriptor: Joliet, or the enhanced one (ECMA-119 §8.5). Its volume is the same or, where
 * xorriso appends a partition, the part of it before that. Controlled by: the client; `bad-image` where malformed.
 */
export function checkSupplementaryDescriptor(
  sector: Buffer,
  primary: PrimaryDescriptor,
): Refusal | undefined {
  return firstUnmet([
    [sector[6] === 1 || sector[6] === 2, "a supplementary volume descriptor of version 1 or 2"], // §8.5.2
    [
      sector.readUInt32LE(80) <= primary.volumeSectors,
      "a supplementary volume no larger than the primary one",
    ],
    ...layout(sector, "supplementary"),
  ]);
}

/** Checks the sector that ends the volume descriptors (ECMA-119 §8.3). Controlled by: the client. */
export function checkTerminator(sector: Buffer): Refusal | undefined {
  return firstUnmet([
    [sector[6] === 1 && isZero(sector, 7, SECTOR_BYTES), "an empty descriptor set terminator"],
  ]);
}

/** What primary and supplementary descriptors have in common: where things lie (ECMA-119 §8.4.7 to §8.4.18, §8.4.30 on). */
function layout(sector: Buffer, which: string): readonly Expected[] {
  const sectors = sector.readUInt32LE(80);
  const tableBytes = sector.readUInt32LE(132);
  const rootBytes = sector.readUInt32LE(166);
  const fits = (first: number, bytes: number) =>
    first > FIRST_DESCRIPTOR + 1 && first + Math.ceil(bytes / SECTOR_BYTES) <= sectors;
  const fitsOrNone = (first: number) => first === 0 || fits(first, tableBytes);
  return [
    [isZero(sector, 72, 80), `zeros in the unused fields of the ${which} descriptor`],
    [sectors === sector.readUInt32BE(84), `one ${which} volume size in both byte orders`], // §8.4.8
    [
      isPair16(sector, 120, 1) && isPair16(sector, 124, 1),
      `a ${which} volume that is the only one of its set`,
    ],
    [
      isPair16(sector, 128, SECTOR_BYTES),
      `logical blocks of ${SECTOR_BYTES} bytes in the ${which} descriptor`,
    ],
    [tableBytes === sector.readUInt32BE(136), `one ${which} path table size in both byte orders`], // §8.4.13
    [tableBytes >= 10, `a ${which} path table that has the root directory`], // §9.4
    [fits(sector.readUInt32LE(140), tableBytes), `a ${which} path table inside the volume`], // §8.4.14
    [fits(sector.readUInt32BE(148), tableBytes), `a ${which} path table inside the volume`], // §8.4.16
    [fitsOrNone(sector.readUInt32LE(144)), `a ${which} path table inside the volume`], // §8.4.15
    [fitsOrNone(sector.readUInt32BE(152)), `a ${which} path table inside the volume`], // §8.4.17
    [sector[156] === 34 && sector[157] === 0, `a ${which} root directory record of 34 bytes`], // §9.1.1, §9.1.2
    [
      sector.readUInt32LE(158) === sector.readUInt32BE(162),
      `one ${which} root directory in both byte orders`,
    ],
    [rootBytes === sector.readUInt32BE(170), `one ${which} root directory size in both byte orders`], // §9.1.4
    [rootBytes > 0 && rootBytes % SECTOR_BYTES === 0, `whole sectors in the ${which} root directory`],
    [fits(sector.readUInt32LE(158), rootBytes), `a ${which} root directory inside the volume`], // §9.1.3
    [sector[181] === 2, `a ${which} root directory that is a directory`], // §9.1.6
    [isZero(sector, 182, 184) && isPair16(sector, 184, 1), `a ${which} root directory in one piece`], // §9.1.7 to 9
    [sector[188] === 1 && sector[189] === 0, `a ${which} root directory without a name`], // §9.1.10, §9.1.11
    [sector[881] === 1, `file structure version 1 in the ${which} descriptor`], // §8.4.30
    [
      isZero(sector, 882, 883) && isZero(sector, 1395, 2048),
      `zeros in the reserved fields of the ${which} descriptor`,
    ],
  ];
}

/** A 16-bit number in both byte orders (ECMA-119 §7.2.3). */
function isPair16(sector: Buffer, offset: number, value: number): boolean {
  return sector.readUInt16LE(offset) === value && sector.readUInt16BE(offset + 2) === value;
}

function isText(sector: Buffer, from: number, to: number): boolean {
  return sector.subarray(from, to).every((byte) => byte >= 0x20 && byte <= 0x7e);
}

function text(sector: Buffer, from: number, to: number): string {
  return sector.toString("latin1", from, to).trimEnd();
}

/**
 * A date of 16 digits, to the hundredth of a second, and an offset from UTC in quarters of an hour (ECMA-119 §8.4.26.1).
 * All zero: not set, undefined.
 */
function parseDate(digits: string, quarters: number): string | undefined | "malformed" {
  if (digits === "0".repeat(16) && quarters === 0) return undefined;
  const [, year, month, day, hour, minute, second, hundredths] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(digits) ?? [];
  const local = `${year}-${month}-${day}T${hour}:${minute}:${second}.${hundredths}0Z`;
  const time = Date.parse(local);
  if (Number.isNaN(time) || new Date(time).toISOString() !== local) return "malformed"; // 31 February, 24:00
  if (quarters < -48 || quarters > 52) return "malformed";
  const utc = new Date(time - quarters * 15 * 60_000).toISOString();
  return /^\d{4}-/.test(utc) && !utc.startsWith("0000") ? utc : "malformed";
}
