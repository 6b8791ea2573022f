import { readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { syncDirectory, writeNewFile } from "../log/durable-file.ts";
import { Fault } from "../outcome.ts";
import type { RevokedCertificate } from "./openssl-config.ts";

/**
 * Which certificates are revoked: a file for each in the folder `revoked`, named by the serial number, with when it was revoked
 * and until when it would have been good, `RFC3339 RFC3339` and a newline. It outlives the certificate's own folder, and so the list
 * never forgets one.
 */

const FOLDER = "revoked";
const SERIAL = /^[0-9a-f]{40}$/;
const TIMES = /^(?<revoked>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (?<until>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n$/;

export function revocationFolder(directory: string): string {
  return join(directory, FOLDER);
}

/** All of them, sorted by serial number. @throws Fault `authority-failed` where there is something else, or the folder is not there */
export function readRevocations(directory: string): readonly RevokedCertificate[] {
  const folder = revocationFolder(directory);
  try {
    return readdirSync(folder)
      .toSorted()
      .map((name) => {
        const text = readFileSync(join(folder, name), "latin1");
        const { revoked, until } = TIMES.exec(text)?.groups ?? {};
        if (!SERIAL.test(name) || revoked === undefined || until === undefined)
          throw new Fault("authority-failed", `${join(folder, name)} is no revocation`);
        return { serial: name, revokedAt: new Date(revoked), until: new Date(until) };
      });
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault("authority-failed", `${folder} cannot be read: it says what is revoked`, { cause });
  }
}

/** Makes one durable. @param workFolder for a draft, on the same file system */
export function keepRevocation(
  directory: string,
  { serial, revokedAt, until }: RevokedCertificate,
  workFolder: string,
): void {
  const text = [revokedAt, until].map((time) => `${time.toISOString().slice(0, 19)}Z`).join(" ");
  const draft = join(workFolder, "revocation");
  writeNewFile(draft, `${text}\n`);
  renameSync(draft, join(revocationFolder(directory), serial));
  syncDirectory(revocationFolder(directory));
}
