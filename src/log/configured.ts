import { createHash } from "node:crypto";
import { encodeCanonicalJson } from "./canonical-json.ts";
import type { EntryFields } from "./log-entry.ts";

/** Bytes of an entry that the summary may take; a long list of rules is cut, its digest is of all of it. */
const MAX_SUMMARY_BYTES = 12 * 1024;
const MAX_LINE_LENGTH = 2048;

/**
 * A `configured` entry of rules, given as text, one line each, in their order. `rules` is SHA-256 over the lines, each with
 * its newline: what `rulesInForce` of the ledger is compared with. What does not fit an entry is left out of the
 * summary, which then ends in `... and N more`.
 */
export function configuredFields(lines: readonly string[]): EntryFields & { readonly kind: "configured" } {
  const hash = createHash("sha256");
  for (const line of lines) hash.update(`${line}\n`);
  const summary: string[] = [];
  let bytes = 0;
  for (const line of lines) {
    const cut = line.length > MAX_LINE_LENGTH ? `${line.slice(0, MAX_LINE_LENGTH)}...` : line;
    bytes += encodeCanonicalJson(cut).length + 1;
    if (bytes > MAX_SUMMARY_BYTES) break;
    summary.push(cut);
  }
  if (summary.length < lines.length) summary.push(`... and ${lines.length - summary.length} more`);
  return { kind: "configured", rules: hash.digest("hex"), summary };
}
