import { type Refusal, refusal } from "../outcome.ts";
import type { Recogniser } from "./artefact.ts";
import { FIRST_DESCRIPTOR, SECTOR_BYTES } from "./iso9660-descriptor.ts";

/** ECMA-119 §8.1.2: the standard identifier, bytes 1 to 5 of every volume descriptor. */
const IDENTIFIER = Buffer.from("CD001", "latin1");
const IDENTIFIER_START = 1;

/** Firmware looks for a boot record in sector 17, Linux for descriptors in a hundred sectors from the first on. */
const END_SECTOR = FIRST_DESCRIPTOR + 100;

/**
 * A recogniser of databases that refuses one which is an ISO 9660 image as well: an attribute in a pax header, stored as it
 * is, has room for descriptors, and a signature holds for every reading of its bytes. Controlled by: the client.
 * `not-recognised` where a volume descriptor stands in the bytes as received.
 */
export function refuseImageInside(database: Recogniser): Recogniser {
  const look = imageLookout();
  return {
    push: async (chunk) => look(chunk) ?? (await database.push(chunk)),
    finish: () => database.finish(),
    close: () => database.close(),
  };
}

function imageLookout(): (chunk: Uint8Array) => Refusal | undefined {
  let receivedBytes = 0;
  /** Bytes of the identifier seen so far where one could stand. */
  let seen = 0;
  return (chunk) => {
    const start = receivedBytes;
    receivedBytes += chunk.length;
    const first = Math.max(FIRST_DESCRIPTOR, Math.floor(start / SECTOR_BYTES));
    for (let sector = first; sector < END_SECTOR; sector++) {
      const identifier = sector * SECTOR_BYTES + IDENTIFIER_START - start;
      if (identifier >= chunk.length) return undefined;
      if (identifier >= 0) seen = 0;
      for (let at = Math.max(0, -identifier); at < IDENTIFIER.length; at++) {
        if (identifier + at < chunk.length && chunk[identifier + at] === IDENTIFIER[at]) seen++;
      }
      if (seen === IDENTIFIER.length)
        return refusal("not-recognised", `expected a database that is no image: CD001 in sector ${sector}`);
    }
    return undefined;
  };
}
