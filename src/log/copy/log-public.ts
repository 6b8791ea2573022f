import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../outcome.ts";
import { parseVerifierKey, type VerifierKey } from "../signed-note.ts";

/** The copied log's key in a copy's folder, C2SP form, one line: what the log is, whatever its entries say. */
export const LOG_PUBLIC_FILE = "log.pub";

/** The copied log's key, as pinned when the copy was made. Fault `log-broken` where the file is none. */
export function readLogPublic(directory: string): VerifierKey {
  let text: string;
  try {
    text = readFileSync(join(directory, LOG_PUBLIC_FILE), "utf8");
  } catch (cause) {
    throw new Fault("key-unavailable", `${LOG_PUBLIC_FILE} cannot be read`, { cause });
  }
  const key = parseVerifierKey(text.trimEnd());
  if (key === undefined) throw new Fault("log-broken", `${LOG_PUBLIC_FILE} is not the key of a log`);
  return key;
}
