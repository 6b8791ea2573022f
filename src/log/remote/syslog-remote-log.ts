import { hostname } from "node:os";
import type { SyslogRemoteLog as SyslogSource } from "../../config/config.ts";
import { Fault } from "../../outcome.ts";
import type { Ledger } from "../ledger.ts";
import type { LogSource } from "../log-source.ts";
import type { CollectorConnection } from "./collector-connection.ts";
import type { RemoteLog } from "./remote-logs.ts";
import { checkpointMessage, encodeSyslogFrame, entryMessage, type SyslogSender } from "./syslog-message.ts";

/** Entries that one {@link SyslogRemoteLog.deliver} sends at most: a request does not wait for a long backlog. */
export const MAX_ENTRIES_PER_DELIVERY = 10_000;
/** A chunk is complete with this many octets; an entry more than fits is in it whole. */
const CHUNK_BYTES = 64 * 1024;

export interface SyslogRemoteLogOptions {
  /** Begins to connect. Throws a Fault `remote-log-unavailable` where it cannot even begin. */
  readonly connect: (source: SyslogSource) => CollectorConnection;
  /** Entries of one delivery; {@link MAX_ENTRIES_PER_DELIVERY} where left out. */
  readonly maxEntries?: number;
}

/**
 * A site's syslog collector: gets the lines of all entries, and a checkpoint after them, over TLS. It acknowledges nothing,
 * so that no signature waits for it. What is about people stays here.
 */
export class SyslogRemoteLog implements RemoteLog {
  readonly required = false;
  readonly #source: SyslogSource;
  readonly #ledger: Ledger;
  readonly #maxEntries: number;
  readonly #connectTo: SyslogRemoteLogOptions["connect"];
  #connection: CollectorConnection | undefined;
  #isClosed = false;

  constructor(source: SyslogSource, ledger: Ledger, options: SyslogRemoteLogOptions) {
    this.#source = source;
    this.#ledger = ledger;
    this.#connectTo = options.connect;
    this.#maxEntries = options.maxEntries ?? MAX_ENTRIES_PER_DELIVERY;
  }

  get name(): string {
    return this.#source.name;
  }

  /** A connection is there for a delivery alone. */
  get isConnected(): boolean {
    return this.#connection?.isUsable === true;
  }

  get entries(): number {
    return this.#ledger.forwardedSize(this.name);
  }

  connect(): void {
    try {
      this.#connect();
    } catch (error) {
      if (!(error instanceof Fault)) throw error; // deliver() meets it again, and says it
    }
  }

  /** Nothing waits for a collector. */
  async ready(): Promise<void> {}

  /** A collector shows nothing. */
  contradiction(): undefined {
    return undefined;
  }

  /**
   * Sends what was not sent yet, at most {@link MAX_ENTRIES_PER_DELIVERY} entries, and notes how far that came. Resolves where
   * the first `size` entries are sent by then; where some are left, or it failed, a Fault `remote-log-unavailable`. Two
   * senders at once may send an entry twice; none leaves one out.
   */
  async deliver(size: number): Promise<void> {
    if (this.#ledger.forwardedSize(this.name) >= size) return;
    const connection = this.#connect();
    connection.limit();
    try {
      await connection.opened();
      const to = await this.#send(connection);
      await this.#ledger.recordForwarded(this.name, to);
      if (to < size) {
        throw new Fault(
          "remote-log-unavailable",
          `${size - to} entries are still to be sent to the syslog collector: signer-log push`,
        );
      }
    } finally {
      connection.close();
    }
  }

  /** One delivery sends so much at most; as long as there is progress, another follows. */
  async catchUp(size: number): Promise<void> {
    let fault: Fault | undefined;
    for (let last = -1, now = this.entries; last < now && now < size; last = now, now = this.entries) {
      try {
        await this.deliver(size);
        fault = undefined;
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        fault = error;
      }
    }
    if (fault !== undefined) throw fault;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#connection?.close();
  }

  #connect(): CollectorConnection {
    if (this.#isClosed)
      throw new Fault("remote-log-unavailable", "the connection to the collector is closed");
    if (this.#connection?.isUsable !== true) this.#connection = this.#connectTo(this.#source);
    return this.#connection;
  }

  /** Sends what the collector lacks now, and the checkpoint of all up to the last of it; how many entries it then has. */
  async #send(connection: CollectorConnection): Promise<number> {
    const from = this.#ledger.forwardedSize(this.name);
    const log = this.#ledger.source();
    try {
      if (from > log.size) {
        throw new Fault("log-broken", `the collector was sent ${from} entries, the log has ${log.size}`);
      }
      const to = Math.min(log.size, from + this.#maxEntries);
      if (from < to) await connection.send(chunks(frames(log, from, to)));
      return to;
    } finally {
      log.close();
    }
  }
}

/** Entries from `from` to `to` (exclusive), at least one, and their checkpoint. */
function* frames(log: LogSource, from: number, to: number): Generator<string, void, undefined> {
  const sender: SyslogSender = { hostname: hostname(), processId: process.pid };
  let lastTime = "-";
  for (const { seq, line } of log.entries(from, to)) {
    const message = entryMessage(line);
    if (message === undefined)
      throw new Fault("log-broken", `line ${seq} is no entry; \`signer-log verify\` says more`);
    yield encodeSyslogFrame(message, sender);
    lastTime = message.time;
  }
  yield encodeSyslogFrame(checkpointMessage(log.checkpointAt(to), lastTime), sender);
}

function* chunks(parts: Iterable<string>): Generator<Buffer, void, undefined> {
  let gathered: string[] = [];
  let length = 0;
  for (const part of parts) {
    gathered.push(part);
    length += part.length;
    if (length < CHUNK_BYTES) continue;
    yield Buffer.from(gathered.join(""), "latin1");
    gathered = [];
    length = 0;
  }
  if (length > 0) yield Buffer.from(gathered.join(""), "latin1");
}
