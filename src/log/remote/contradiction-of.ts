import type { Checkpoint } from "../checkpoint.ts";
import type { LogSource } from "../log-source.ts";

/**
 * Why a head that this log's key has signed shows that the log is not what it was; undefined where it is a head of this log.
 * One line, lower case. Nobody without the log's key can make such a head, so this is evidence, not a claim.
 * @param name the remote log that shows it
 * @param source the log as it is after the head was received: it may have grown while the head was on its way
 */
export function contradictionOf(name: string, head: Checkpoint, source: LogSource): string | undefined {
  if (source.isHead(head)) return undefined;
  if (head.size > source.size)
    return `the log has ${source.size} entries and the remote log ${name} holds ${head.size} of it, signed with its key: it is an older copy of itself (signer-log restore brings back the rest)`;
  return `the remote log ${name} holds ${head.size} entries, signed with this log's key, and they are not the log's first ${head.size}: there are two histories (signer-log compare says where they part)`;
}
