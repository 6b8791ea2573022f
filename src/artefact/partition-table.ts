import type { Refusal } from "../outcome.ts";
import { type Expected, firstUnmet } from "./iso9660-descriptor.ts";

/** Bytes of a block: of the master boot record and of each GPT header (UEFI 2.10 §5.2.1, §5.3.1). */
const BLOCK_BYTES = 512;

/**
 * Checks the boot blocks of a hybrid image, its first sector: a GPT header needs an MBR before it and spans the image.
 * Controlled by: the client. An image without a GPT passes, with or without an MBR; `bad-image` otherwise.
 */
export function checkBootBlocks(firstSector: Buffer, volumeBytes: number): Refusal | undefined {
  const header = firstSector.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES);
  if (!isHeader(header)) return undefined;
  return firstUnmet([
    [firstSector.readUInt16BE(510) === 0x55aa, "a master boot record before the GPT"], // UEFI 2.10 §5.2.3
    ...position(header, 1, volumeBytes / BLOCK_BYTES - 1),
  ]);
}

/** Checks the last sector against the first: where that has a GPT, the backup of its header is the last block (§5.3.2). */
export function checkBackup(
  firstSector: Buffer,
  lastSector: Buffer,
  volumeBytes: number,
): Refusal | undefined {
  if (!isHeader(firstSector.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES))) return undefined;
  const backup = lastSector.subarray(-BLOCK_BYTES);
  return firstUnmet([
    [isHeader(backup), "the GPT's backup in the last block"],
    ...position(backup, volumeBytes / BLOCK_BYTES - 1, 1),
  ]);
}

function isHeader(block: Buffer): boolean {
  return block.toString("latin1", 0, 8) === "EFI PART";
}

/** A header names its own block and that of its twin (UEFI 2.10 §5.3.2, table 5.5: MyLBA, AlternateLBA). */
function position(header: Buffer, own: number, twin: number): readonly Expected[] {
  return [
    [header.readBigUInt64LE(24) === BigInt(own), "a GPT header that names its own block"],
    [
      header.readBigUInt64LE(32) === BigInt(twin),
      "a GPT that ends where the volume ends (xorriso -partition_offset 16)",
    ],
  ];
}
