import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Witness } from "../../src/log/cosignature.ts";
import { encodeVerifierKey, noteKey } from "../../src/log/signed-note.ts";
import { signerLog } from "../cli/log/command-line.ts";
import { newWitness, SampleLog } from "../log/proof/fixture.ts";

// sigstore-js: duplicates counted twice, and a threshold of two was met by one key. A note's key has a name that its
// holder chooses, so that one key under two names looked like two witnesses.

/** The same key, under another name. */
function renamed({
  key,
  privateKey,
}: Pick<Witness, "privateKey"> & { key: Pick<Witness["key"], "publicKey"> }): Witness {
  return { key: noteKey("cosignature", "other.example.com", key.publicKey), privateKey };
}

test("one key under two names, or the log's own, is not taken for two witnesses", async () => {
  const folder = mkdtempSync(join(tmpdir(), "signer-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const log = new SampleLog(5);
  const one = newWitness();
  const { verifier, privateKey } = log.signer;
  const [again, ofLog] = [renamed(one), renamed({ key: verifier, privateKey })];
  const file = join(folder, "3.tlog-proof");
  writeFileSync(file, log.proof(3, 5, one, again, ofLog));
  const verify = (...witnesses: readonly Witness[]) =>
    signerLog([
      ...["verify", file, "--key", encodeVerifierKey(verifier)],
      ...witnesses.flatMap(({ key }) => ["--witness", encodeVerifierKey(key)]),
    ]);
  for (const witness of [one, again]) expect((await verify(witness)).status).toBe(0);
  for (const witnesses of [[one, again], [ofLog], [one, ofLog]]) {
    const { status, text, complaint } = await verify(...witnesses);
    expect({ status, text }).toEqual({ status: 64, text: "" });
    expect(complaint).toContain("expected a key of its own for each");
  }
});
