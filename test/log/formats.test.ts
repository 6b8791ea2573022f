import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { openCheckpoint } from "../../src/log/checkpoint.ts";
import { APPLICATION_ID, SCHEMA_VERSION } from "../../src/log/ledger-schema.ts";
import { ENTRY_KINDS, MAX_ENTRY_BYTES, parseLogEntry } from "../../src/log/log-entry.ts";
import { parseVerifierKey } from "../../src/log/signed-note.ts";

const text = readFileSync("docs/FORMATS.md", "utf8");
/** The indented blocks, without their indentation. */
const examples = (text.match(/(?:^ {4}.*\n(?:\n(?= {4}))?)+/gm) ?? []).map((block) =>
  block.replace(/^ {4}/gm, ""),
);

test("the entry and the checkpoint that FORMATS.md shows are what it says, and fit together", () => {
  const [line = "", note = ""] = examples;
  const entry = parseLogEntry(line.trimEnd());
  expect(entry?.kind).toBe("started");
  const key = parseVerifierKey(entry?.kind === "started" ? entry.verifier : "");
  expect(key && openCheckpoint(note, key)).toMatchObject({ origin: "signer.example.org/repo", size: 10 });
});

test("FORMATS.md has a section for each kind of entry, and the numbers of this version", () => {
  for (const kind of ENTRY_KINDS) expect(text).toMatch(new RegExp(`^### \`${kind}\`: `, "m"));
  expect(text).toContain(MAX_ENTRY_BYTES.toLocaleString("en"));
  expect(text).toContain(
    `\`application_id\` 0x${APPLICATION_ID.toString(16)}, \`user_version\` ${SCHEMA_VERSION}`,
  );
});
