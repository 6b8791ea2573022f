import type { ArtefactType } from "../../src/artefact/artefact.ts";
import { ARTEFACT_TYPES } from "../../src/artefact/artefact.ts";
import { recognise } from "../../src/artefact/recognise.ts";
import { isRefusal, type RefusalCode } from "../../src/outcome.ts";

/** What the recogniser is told, and how the bytes reach it. */
export interface Offer {
  readonly name?: string;
  readonly types?: readonly ArtefactType[];
  readonly maxBytes?: number;
  /** Size of the chunks, in bytes; default 64 KiB, as a pipe gives them. */
  readonly chunk?: number;
}

/** `db`, `files`, `unknown` or `iso` where the bytes would be signed, else the code of the refusal. */
export type Verdict = ArtefactType | "unknown" | RefusalCode;

/** Offers the bytes to a fresh recogniser, in chunks, and says how it ends. */
export async function verdictOn(bytes: Uint8Array, offer: Offer = {}): Promise<Verdict> {
  return (await explainedVerdictOn(bytes, offer))[0];
}

/** The verdict and, for a refusal, its reason. */
export async function explainedVerdictOn(
  bytes: Uint8Array,
  { name, types = ARTEFACT_TYPES, maxBytes = 2 ** 31, chunk = 65536 }: Offer = {},
): Promise<readonly [Verdict, string]> {
  const recogniser = recognise({ name, types: new Set(types), maxBytes });
  try {
    for (let start = 0; start < bytes.length; start += chunk) {
      const refused = await recogniser.push(bytes.subarray(start, start + chunk));
      if (refused !== undefined) return [refused.code, refused.reason];
    }
    const end = await recogniser.finish();
    return isRefusal(end) ? [end.code, end.reason] : [end.type, ""];
  } finally {
    recogniser.close();
  }
}
