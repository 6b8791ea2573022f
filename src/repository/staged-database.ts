import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { DatabaseFacts } from "../artefact/artefact.ts";
import { DEFAULT_LIMITS } from "../artefact/compression.ts";
import { recognise } from "../artefact/recognise.ts";
import { isRefusal, type Refusal, refusal } from "../outcome.ts";
import type { DatabaseKind } from "./database-path.ts";

/** A database that is whole, and what it is. */
export interface StagedDatabase {
  readonly facts: DatabaseFacts;
  /** SHA-256, lower-case hex. */
  readonly digest: string;
}

/**
 * Reads a database as strictly as the signing host will: a compressor that failed leaves an empty file, a full disk half of one,
 * and repo-add reports success for both. Controlled by: whoever built the packages.
 * @param name what the file is to be called, which promises kind and compression
 */
export async function examineDatabase(
  path: string,
  name: string,
  kind: DatabaseKind,
): Promise<StagedDatabase | Refusal> {
  const recogniser = recognise({ name, types: new Set([kind]), maxBytes: DEFAULT_LIMITS.maxBytes });
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      const refused = await recogniser.push(chunk);
      if (refused !== undefined) return named(refused, name);
    }
    const facts = await recogniser.finish();
    if (isRefusal(facts)) return named(facts, name);
    if (facts.kind !== "database") return refusal("wrong-type", `${name}: expected a database`);
    return { facts, digest: hash.digest("hex") };
  } finally {
    recogniser.close();
  }
}

function named({ code, reason }: Refusal, name: string): Refusal {
  return refusal(code, `${name}: ${reason}`);
}
