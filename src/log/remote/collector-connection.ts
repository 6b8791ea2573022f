/**
 * One connection to a syslog collector, for one delivery: over TLS, or through the sender process. All Faults are
 * `remote-log-unavailable`.
 */
export interface CollectorConnection {
  /** Whether it can be used, as far as is known. */
  readonly isUsable: boolean;
  /** From now on, everything that is still to come MUST happen within the configured timeout, or the connection is over. */
  limit(): void;
  /** Resolves when the collector is authenticated. Its own refusal of this host may come later. */
  opened(): Promise<void>;
  /**
   * Sends `chunks`, ends the connection, and resolves when the collector has ended it too (RFC 5425 §4.4): then it has read
   * all, unless it went away while the last of it was under way. Pulls a chunk when the one before is with the kernel.
   */
  send(chunks: Iterable<Buffer>): Promise<void>;
  /** Ends it without waiting for anything. Never throws. */
  close(): void;
}
