import { generateKeyPairSync } from "node:crypto";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openAcknowledgement, storeAcknowledgement } from "../../../src/log/acknowledgements.ts";
import { cosign, type Witness } from "../../../src/log/cosignature.ts";
import { Ledger } from "../../../src/log/ledger.ts";
import { openLogDatabase } from "../../../src/log/log-file.ts";
import { readCheckpoint, readVerifier } from "../../../src/log/log-head.ts";
import { packageList } from "../../../src/log/package-list.ts";
import { openCopyDirectory } from "../../../src/log/restore/held-copy.ts";
import { type Restored, type RestoreOptions, restoreLog } from "../../../src/log/restore/restore.ts";
import { noteKey } from "../../../src/log/signed-note.ts";
import { isRefusal } from "../../../src/outcome.ts";
import { at, freshDirectory, MINUTE, ORIGIN, refused, sign } from "../fixture.ts";

/** A witness with a key of its own. */
export function newWitness(name = "log.example.org/repo"): Witness {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { key: noteKey("cosignature", name, publicKey), privateKey };
}

export const WITNESS = newWitness();

/** Logs something of every table: signatures, a package list, private records, refusals. Seven entries with the first. */
export async function fillLedger(ledger: Ledger): Promise<void> {
  for (const [i, version] of ["1", "2"].entries()) {
    const packages = packageList([{ name: "acl", version, sha256: undefined }]);
    await sign(ledger, at((i + 1) * MINUTE), { extra: { packages, private: { for: "alice" } } });
  }
  await sign(ledger, at(3 * MINUTE), { name: "empty.db.tar.gz", extra: { packages: packageList([]) } });
  await sign(ledger, at(4 * MINUTE), { rule: "monthly-iso", type: "iso", name: null });
  for (let i = 0; i < 2; i++)
    await ledger.recordRefusal(at(5 * MINUTE), refused(), { private: { address: "192.0.2.66" } });
}

/** A state directory with a filled log, closed. */
export async function filledState(): Promise<string> {
  const directory = join(freshDirectory(), "state");
  const ledger = Ledger.create(directory, { origin: ORIGIN, now: at(0) });
  await fillLedger(ledger);
  ledger.close();
  return directory;
}

/** Goes on with a log: so many signatures more. */
export async function signMore(directory: string, count: number, now = at(10 * MINUTE)): Promise<void> {
  const ledger = Ledger.open(directory);
  for (let i = 0; i < count; i++) await sign(ledger, now);
  ledger.close();
}

/** What a log host holds: log and cosigned head, without the log key. The log MUST be closed. */
export function copyOf(directory: string, witness: Witness = WITNESS): string {
  const copy = join(freshDirectory(), "copy");
  cpSync(directory, copy, { recursive: true });
  const database = openLogDatabase(copy);
  const note = cosign(readCheckpoint(database), witness, at(6 * MINUTE));
  const acknowledgement = openAcknowledgement(note, readVerifier(database), witness.key);
  if (acknowledgement === undefined) throw new Error("the cosignature does not verify");
  storeAcknowledgement(database, acknowledgement);
  database.close();
  rmSync(join(copy, "log.key"));
  return copy;
}

/** Restores, a day later; the refusal's code and reason where it refuses. */
export async function restore(
  directory: string,
  copy: string,
  options: Partial<RestoreOptions> = {},
): Promise<Restored | string> {
  const outcome = await restoreLog({
    directory,
    origin: ORIGIN,
    openCopy: () => openCopyDirectory(copy, [WITNESS.key]),
    now: at(24 * 60 * MINUTE),
    ...options,
  });
  return isRefusal(outcome) ? `${outcome.code}: ${outcome.reason}` : outcome;
}
