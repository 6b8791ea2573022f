import type { ArtefactFacts, ArtefactType, DatabaseFacts, Expectation } from "../../src/artefact/artefact.ts";
import { DEFAULT_LIMITS } from "../../src/artefact/compression.ts";
import type { ExpansionLimits } from "../../src/artefact/expansion.ts";
import { recognise } from "../../src/artefact/recognise.ts";
import { isRefusal, type Refusal } from "../../src/outcome.ts";
import { samplePackage } from "../support/database-fixture.ts";
import { type TarEntry, tarArchive } from "../support/tar-fixture.ts";

/** What the recogniser is told; no name and all types unless said otherwise. */
export interface Told {
  readonly name?: string;
  readonly types?: readonly ArtefactType[];
  readonly maxBytes?: number;
  readonly limits?: Partial<ExpansionLimits>;
}

function expectationOf({ name, types, maxBytes }: Told): Expectation {
  return { name, types: new Set(types ?? ["db", "files", "iso"]), maxBytes: maxBytes ?? 2 ** 32 };
}

/** Pushes chunk after chunk until a refusal or the end. */
export async function outcomeOf(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  told: Told = {},
): Promise<ArtefactFacts | Refusal> {
  const recogniser = recognise(expectationOf(told), { ...DEFAULT_LIMITS, ...told.limits });
  try {
    for await (const chunk of chunks) {
      const refused = await recogniser.push(chunk);
      if (refused !== undefined) return refused;
    }
    return await recogniser.finish();
  } finally {
    recogniser.close();
  }
}

/** The refusal's code, or `accepted as TYPE`. */
export async function codeOf(bytes: Uint8Array | Iterable<Uint8Array>, told: Told = {}): Promise<string> {
  const outcome = await outcomeOf(bytes instanceof Uint8Array ? [bytes] : bytes, told);
  return isRefusal(outcome) ? outcome.code : `accepted as ${outcome.type}`;
}

/** The facts of bytes that have to be accepted. */
export async function factsOf(
  chunks: Uint8Array | Iterable<Uint8Array>,
  told: Told = {},
): Promise<DatabaseFacts> {
  const outcome = await outcomeOf(chunks instanceof Uint8Array ? [chunks] : chunks, told);
  if (isRefusal(outcome)) throw new Error(`refused: ${outcome.code}: ${outcome.reason}`);
  if (outcome.kind !== "database") throw new Error(`recognised as ${outcome.kind}`);
  return outcome;
}

/** The bytes in pieces of `size`, the first one of `first`. */
export function* pieces(bytes: Uint8Array, size: number, first = size): Generator<Uint8Array> {
  yield bytes.subarray(0, first);
  for (let from = first; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}

/** The fields of a good desc, to bend. */
export function goodFields(): Map<string, readonly string[]> {
  return new Map(samplePackage(1).fields);
}

/** An uncompressed archive of these entries, padded as it should be. */
export function archive(...entries: readonly TarEntry[]): Buffer {
  return tarArchive(entries);
}
