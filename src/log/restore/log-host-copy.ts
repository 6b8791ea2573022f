import type { LogHostSource } from "../../config/config.ts";
import { LogHost } from "../remote/log-host.ts";
import type { VerifierKey } from "../signed-note.ts";
import type { HeldCopy } from "./held-copy.ts";

/**
 * The copy that a log host holds, over SSH. Faults `remote-log-unavailable`, here and from whatever is asked.
 * @param verifier the key of the log that it is to be a copy of
 */
export async function openLogHostCopy(remote: LogHostSource, verifier: VerifierKey): Promise<HeldCopy> {
  const host = await LogHost.connect(remote, verifier);
  return {
    what: `the copy on ${remote.name}`,
    verifier,
    size: host.size,
    acknowledgement: host.newest,
    rootOf: (size) => host.rootOf(size),
    entries: (from, to) => host.fetch(from, to),
    close: () => host.close(),
  };
}
