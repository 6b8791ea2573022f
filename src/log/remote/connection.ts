import type { Duplex } from "node:stream";

/** A byte stream to the other side of a remote log, whatever carries it. */
export interface Connection {
  /** Ends where the other side ends it. */
  readonly stream: Duplex;
  /** Aborts where the connection breaks; its reason is a Fault. */
  readonly broken: AbortSignal;
  /** What the other side wrote beside the stream, quoted and cut; undefined for nothing. */
  said(): string | undefined;
  /** Ends it; nothing of it keeps the process alive from then on. */
  close(): void;
}
