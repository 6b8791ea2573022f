import type { Refusal } from "../outcome.ts";
import { type Expected, firstUnmet, isZero, SECTOR_BYTES } from "./iso9660-descriptor.ts";

/** Where the boot record says that the catalogue is. Only {@link parseBootRecord} makes one. */
export interface BootRecord {
  /** Sector of the boot catalogue, before `volumeSectors`. */
  readonly catalogueSector: number;
}

/**
 * Reads a boot record volume descriptor (ECMA-119 §8.2) of the one kind in use (El Torito 1.0, figure 7), 2048 bytes.
 * Controlled by: the client. `bad-image` for any other boot system and for a catalogue outside `volumeSectors`.
 */
export function parseBootRecord(sector: Buffer, volumeSectors: number): BootRecord | Refusal {
  const catalogueSector = sector.readUInt32LE(71);
  const system = sector.toString("latin1", 7, 39);
  const unmet = firstUnmet([
    [sector[6] === 1, "a boot record of version 1"],
    [system === "EL TORITO SPECIFICATION".padEnd(32, "\0"), "an El Torito boot record"],
    [
      isZero(sector, 39, 71) && isZero(sector, 75, SECTOR_BYTES),
      "zeros in the unused fields of the boot record",
    ],
    [catalogueSector < volumeSectors, "a boot catalogue inside the volume"],
  ]);
  return unmet ?? { catalogueSector };
}

/**
 * Reads the boot catalogue's validation entry and default entry (El Torito 1.0, figures 2 and 3), 2048 bytes.
 * Controlled by: the client. Whether the image says that it boots; `bad-image` where the entries are malformed.
 */
export function parseBootCatalogue(sector: Buffer, volumeSectors: number): boolean | Refusal {
  const bootable = sector[32] === 0x88;
  const image = sector.readUInt32LE(40);
  return (
    firstUnmet([...validationEntry(sector), ...defaultEntry(sector, image > 0 && image < volumeSectors)]) ??
    bootable
  );
}

function validationEntry(sector: Buffer): readonly Expected[] {
  let sum = 0;
  for (let offset = 0; offset < 32; offset += 2) sum += sector.readUInt16LE(offset);
  return [
    [sector[0] === 1 && isZero(sector, 2, 4), "a boot catalogue that begins with its validation entry"],
    [[0, 1, 2, 0xef].includes(sector[1] ?? -1), "a boot catalogue for x86, PowerPC, Mac or EFI"], // UEFI 2.10 §13.3.2.1
    [sector[30] === 0x55 && sector[31] === 0xaa, "55 AA at the end of the boot catalogue's validation entry"],
    [sum % 0x10000 === 0, "a boot catalogue's validation entry with the right checksum"],
  ];
}

function defaultEntry(sector: Buffer, imageFits: boolean): readonly Expected[] {
  return [
    [sector[32] === 0x88 || sector[32] === 0, "a default boot entry that is bootable or not"],
    [(sector[33] ?? 0xff) <= 4 && sector[37] === 0, "a default boot entry of a known medium"],
    [imageFits, "a default boot image inside the volume"],
  ];
}
