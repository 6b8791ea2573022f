import type { Readable } from "node:stream";
import type { AnnouncedFile } from "../exchange/notification.ts";
import type { Refusal } from "../outcome.ts";
import type { Peer } from "../request/peer.ts";
import type { NotificationRefusal } from "./judgement.ts";

/**
 * Who signs what a source asks for: by the same rules, limits and log as for a request over SSH. Both methods throw Fault, or Error
 * for a bug on the other side, where the same request can be made again.
 */
export interface Signing {
  /**
   * One request for the client of the source.
   * @param peer where the connection leads to, and the key of the notifications
   * @param file its bytes; MUST NOT be taken for complete where the stream fails, and what that fails with is thrown
   * @param giveUp ends it: what was signed by then stands in the log
   * @returns the signature, or the signing host's no
   */
  sign(
    request: AnnouncedFile,
    peer: Peer,
    file: Readable,
    giveUp: AbortSignal,
  ): Promise<Uint8Array | Refusal>;
  /** Puts a refusal of the pulling process's own into the log. */
  report(refused: NotificationRefusal, peer: Peer, giveUp: AbortSignal): Promise<void>;
}
