import { existsSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../outcome.ts";
import { writeNewFile } from "../durable-file.ts";
import { LOG_KEY_FILE, readLogKey, readLogKeyFile } from "../log-key.ts";
import { encodeVerifierKey, type NoteSigner, type VerifierKey } from "../signed-note.ts";

/** The log key of a log that is restored: no copy holds it. */

/** The state directory, and the backup of the log key where one is given. */
interface KeyPlaces {
  readonly directory: string;
  readonly logKeyFile?: string | undefined;
}

/**
 * The key that the restored log goes on with: the given one; else the one in the state directory. Faults as
 * {@link readLogKeyFile}; `no-state` where there is none.
 */
export function chooseLogKey({ directory, logKeyFile }: KeyPlaces, origin: string): NoteSigner {
  if (logKeyFile !== undefined) return readLogKeyFile(logKeyFile, origin);
  if (existsSync(join(directory, LOG_KEY_FILE))) return readLogKey(directory, origin);
  throw new Fault(
    "no-state",
    `${directory} holds no log key, and no copy of the log does: --log-key names its backup`,
  );
}

/** Lays the given log key beside the new log in `folder`, unless it is in its place already. Whether it was not. */
export function placeLogKey(
  folder: string,
  signer: NoteSigner,
  { directory, logKeyFile }: KeyPlaces,
): boolean {
  if (logKeyFile === undefined || holdsKey(directory, signer.verifier)) return false;
  const pem = signer.privateKey.export({ type: "pkcs8", format: "pem" });
  writeNewFile(join(folder, LOG_KEY_FILE), pem);
  return true;
}

function holdsKey(directory: string, verifier: VerifierKey): boolean {
  try {
    return encodeVerifierKey(readLogKey(directory, verifier.name).verifier) === encodeVerifierKey(verifier);
  } catch (error) {
    if (error instanceof Fault) return false;
    throw error;
  }
}
