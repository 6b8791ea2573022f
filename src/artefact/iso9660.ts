import { isRefusal, quoted, type Refusal, refusal } from "../outcome.ts";
import type { ArtefactFacts, Expectation, ImageFacts, Recogniser } from "./artefact.ts";
import { type CalendarDate, parseArtefactName } from "./artefact-name.ts";
import { type BootRecord, parseBootCatalogue, parseBootRecord } from "./el-torito.ts";
import {
  checkSupplementaryDescriptor,
  checkTerminator,
  DESCRIPTOR,
  FIRST_DESCRIPTOR,
  isDescriptor,
  type PrimaryDescriptor,
  parsePrimaryDescriptor,
  SECTOR_BYTES,
} from "./iso9660-descriptor.ts";
import { checkBackup, checkBootBlocks } from "./partition-table.ts";

/** The last descriptor, the terminator, is at the latest the last sector of the first 64 KiB. */
const LAST_DESCRIPTOR = 31;

/**
 * Starts recognising an ISO 9660 image as xorriso makes it for archiso: padded or not, with El Torito, MBR and GPT or
 * without. Keeps a few sectors of 2 KiB. What is no image is refused after 34 KiB, one with malformed descriptors within
 * 64 KiB, and any image at the first byte past the size that its volume descriptor gives: nothing in the volume speaks
 * for partitions appended outside it (xorriso without `-partition_offset`).
 */
export function startImage(expectation: Expectation): Recogniser {
  return new ImageRecogniser(expectation);
}

/** Takes sectors by their numbers, yielded in rising order; the last one taken is the image's last. */
type SectorReader<Result> = Generator<number, Result, Buffer>;

/** `announce` is told the image's size in bytes as soon as it is known; no sector behind it is asked for. */
function* readImage(
  expectation: Expectation,
  announce: (volumeBytes: number) => void,
): SectorReader<ImageFacts | Refusal> {
  const firstSector = yield 0;
  const descriptor = yield FIRST_DESCRIPTOR;
  if (!isDescriptor(descriptor))
    return refusal("not-recognised", "expected an ISO 9660 image, CD001 in sector 16");
  const name = expectation.name === undefined ? undefined : parseArtefactName(expectation.name);
  const type = expectation.name === undefined ? "iso" : name?.type;
  if (type !== "iso" || !expectation.types.has("iso")) return wrongType(expectation);

  const primary = parsePrimaryDescriptor(descriptor);
  if (isRefusal(primary)) return primary;
  const volumeBytes = primary.volumeSectors * SECTOR_BYTES;
  announce(volumeBytes);
  const early =
    checkSize(volumeBytes, expectation) ??
    checkDate(primary, name?.date) ??
    checkBootBlocks(firstSector, volumeBytes);
  if (early) return early;

  const boot = yield* readDescriptors(primary);
  if (isRefusal(boot)) return boot;
  const catalogue = boot && (yield boot.catalogueSector);
  const bootable = catalogue ? parseBootCatalogue(catalogue, primary.volumeSectors) : false;
  if (isRefusal(bootable)) return bootable;

  const last = primary.volumeSectors - 1;
  const lastSector = catalogue && boot.catalogueSector === last ? catalogue : yield last;
  const { volumeId, publisher, application, createdAt } = primary;
  return (
    checkBackup(firstSector, lastSector, volumeBytes) ?? {
      kind: "image",
      type: "iso",
      volumeId,
      publisher,
      application,
      createdAt,
      volumeBytes,
      bootable,
    }
  );
}

/** Walks the descriptors behind the primary one to their terminator (ECMA-119 §6.7.1): the boot record, if there is one. */
function* readDescriptors(primary: PrimaryDescriptor): SectorReader<BootRecord | Refusal | undefined> {
  const end = Math.min(LAST_DESCRIPTOR, primary.volumeSectors - 2);
  let boot: BootRecord | undefined;
  for (let number = FIRST_DESCRIPTOR + 1; number <= end; number += 1) {
    const sector = yield number;
    if (!isDescriptor(sector)) return refusal("bad-image", "expected volume descriptors up to a terminator");
    if (sector[0] === DESCRIPTOR.terminator) return checkTerminator(sector) ?? behind(number, boot);
    if (sector[0] === DESCRIPTOR.bootRecord && !boot) {
      const parsed = parseBootRecord(sector, primary.volumeSectors);
      if (isRefusal(parsed)) return parsed;
      boot = parsed;
    } else if (sector[0] === DESCRIPTOR.supplementary) {
      const malformed = checkSupplementaryDescriptor(sector, primary);
      if (malformed) return malformed;
    } else
      return refusal(
        "bad-image",
        "expected one primary, one boot record, supplementary descriptors and no others",
      );
  }
  return refusal("bad-image", "expected a descriptor set terminator within 64 KiB");
}

function behind(terminator: number, boot: BootRecord | undefined): BootRecord | Refusal | undefined {
  if (boot === undefined || boot.catalogueSector > terminator) return boot;
  return refusal("bad-image", "expected a boot catalogue behind the descriptors");
}

function wrongType({ name, types }: Expectation): Refusal {
  const promised = name === undefined ? [...types].join(" or ") : `what ${quoted(name)} promises`;
  return refusal("wrong-type", `expected ${promised}, got an ISO 9660 image`);
}

function checkSize(volumeBytes: number, { maxBytes }: Expectation): Refusal | undefined {
  if (volumeBytes <= maxBytes) return undefined;
  return refusal("too-large", `expected at most ${maxBytes} bytes, the image announces ${volumeBytes}`);
}

/** archiso: `ARCH_202611` is the volume of `archlinux-2026.11.01-x86_64.iso`. A volume or a name without a date passes. */
function checkDate({ volumeId }: PrimaryDescriptor, date: CalendarDate | undefined): Refusal | undefined {
  const month = /_(\d{6})$/.exec(volumeId)?.[1];
  if (month === undefined || date === undefined) return undefined;
  const expected = `${String(date.year).padStart(4, "0")}${String(date.month).padStart(2, "0")}`;
  if (month === expected) return undefined;
  return refusal(
    "name-mismatch",
    `expected a volume identifier that ends in _${expected}, got ${quoted(volumeId)}`,
  );
}

class ImageRecogniser implements Recogniser {
  readonly #steps: SectorReader<ImageFacts | Refusal>;
  #outcome: ImageFacts | Refusal | undefined;
  #receivedBytes = 0;
  #announcedBytes = Number.POSITIVE_INFINITY;
  /** The sector that is being filled, with its first `#filled` bytes. */
  #wanted = 0;
  #sector = Buffer.alloc(0);
  #filled = 0;

  constructor(expectation: Expectation) {
    this.#steps = readImage(expectation, (volumeBytes) => {
      this.#announcedBytes = volumeBytes;
    });
    this.#step();
  }

  async push(chunk: Uint8Array): Promise<Refusal | undefined> {
    const end = this.#receivedBytes + chunk.length;
    while (this.#outcome === undefined && this.#wanted * SECTOR_BYTES + this.#filled < end) {
      const from = this.#wanted * SECTOR_BYTES + this.#filled - this.#receivedBytes;
      const part = chunk.subarray(from, from + SECTOR_BYTES - this.#filled);
      this.#sector.set(part, this.#filled);
      this.#filled += part.length;
      if (this.#filled < SECTOR_BYTES) break;
      this.#step();
    }
    this.#receivedBytes = end;
    if (end > this.#announcedBytes && !isRefusal(this.#outcome)) {
      this.#outcome = refusal(
        "trailing-data",
        `expected the ${this.#announcedBytes} bytes that the volume has, got more`,
      );
    }
    return isRefusal(this.#outcome) ? this.#outcome : undefined;
  }

  async finish(): Promise<ArtefactFacts | Refusal> {
    if (this.#outcome) return this.#outcome;
    if (this.#receivedBytes === 0) return refusal("empty-input", "expected an ISO 9660 image, got nothing");
    const size = Number.isFinite(this.#announcedBytes)
      ? `${this.#announcedBytes} bytes`
      : "an ISO 9660 image";
    return refusal("truncated", `expected ${size}, the stream ended after ${this.#receivedBytes}`);
  }

  close(): void {
    // Nothing but memory is held.
  }

  /** Hands the filled sector over (at first none) and learns which one is next, or the outcome. */
  #step(): void {
    const { done, value } = this.#steps.next(this.#sector);
    if (done) {
      this.#outcome = value;
      return;
    }
    this.#wanted = value;
    this.#sector = Buffer.alloc(SECTOR_BYTES);
    this.#filled = 0;
  }
}
