import type { Socket } from "node:net";
import type { SyslogRemoteLog as SyslogSource } from "../config/config.ts";
import type { CollectorConnection } from "../log/remote/collector-connection.ts";
import type { Connection } from "../log/remote/connection.ts";
import { noAnswer } from "../log/remote/remote-log-fault.ts";
import type { Fault } from "../outcome.ts";
import { notSender, openThroughSender, readSenderLine, senderFault } from "./open-through-sender.ts";
import type { SenderLine } from "./sender-message.ts";

/**
 * A byte stream to a log host, through the sender process. Faults `remote-log-unavailable`.
 * @param signal gives up when it aborts, also later on; its reason MUST be a Fault
 */
export async function connectThroughSender(
  path: string,
  name: string,
  signal: AbortSignal,
): Promise<Connection> {
  const stream = await openThroughSender(path, name, signal);
  const broken = new AbortController();
  const giveUp = () => {
    broken.abort(signal.reason);
    stream.destroy();
  };
  signal.addEventListener("abort", giveUp, { once: true });
  stream.once("close", () => signal.removeEventListener("abort", giveUp));
  return {
    stream,
    broken: broken.signal,
    said: () => undefined, // the sender's journal has it
    close: () => stream.destroy(),
  };
}

/** A connection to a syslog collector through the sender process, which speaks TLS and says how it ended. */
export class CollectorThroughSender implements CollectorConnection {
  readonly #source: SyslogSource;
  readonly #attempt = new AbortController();
  readonly #opening: Promise<Socket>;
  /** Resolves when the sender has had its last word: `sent`, or why not. */
  #ended: Promise<void> | undefined;
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isLimited = false;
  #isEnding = false;
  /** Why the connection is of no use. */
  #fault: Fault | undefined;

  /** Begins to connect. */
  constructor(path: string, source: SyslogSource) {
    this.#source = source;
    this.#startTimer();
    this.#opening = openThroughSender(path, source.name, this.#attempt.signal);
    this.#opening.then(
      (socket) => this.#begin(socket),
      (fault: Fault) => {
        this.#fault ??= fault;
        clearTimeout(this.#timer);
      },
    );
  }

  get isUsable(): boolean {
    return this.#fault === undefined && !this.#isEnding;
  }

  limit(): void {
    this.#isLimited = true;
    this.#startTimer();
  }

  async opened(): Promise<void> {
    await this.#opening.catch(() => undefined);
    this.#check();
  }

  async send(chunks: Iterable<Buffer>): Promise<void> {
    await this.opened();
    const socket = await this.#opening;
    for (const chunk of chunks) {
      await new Promise<void>((resolve) => socket.write(chunk, () => resolve()));
      this.#check();
    }
    this.#isEnding = true;
    socket.end();
    await this.#ended;
    this.#check();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#isEnding = true;
    this.#fail(noAnswer(this.#source.name, "the connection is closed"));
  }

  #begin(socket: Socket): void {
    this.#socket = socket;
    if (this.#fault !== undefined) socket.destroy();
    if (!this.#isLimited) clearTimeout(this.#timer); // it may wait, idle, until there is something to send
    this.#ended = readSenderLine(socket).then((word) => this.#judge(word, socket));
  }

  #judge(lastWord: SenderLine | undefined, socket: Socket): void {
    clearTimeout(this.#timer);
    if (lastWord?.kind === "sent" && this.#isEnding) return;
    const { name } = this.#source;
    if (lastWord?.kind === "failed") this.#fail(senderFault(name, lastWord));
    else if (lastWord === undefined && socket.readableEnded)
      this.#fail(noAnswer(name, "the sender process has ended the connection"));
    else this.#fail(notSender(name));
  }

  #startTimer(): void {
    clearTimeout(this.#timer);
    const { name, timeoutMs } = this.#source;
    this.#timer = setTimeout(() => this.#fail(noAnswer(name, "timed out")), timeoutMs);
  }

  #check(): void {
    if (this.#fault !== undefined) throw this.#fault;
  }

  #fail(fault: Fault): void {
    this.#fault ??= fault;
    this.#attempt.abort(this.#fault);
    this.#socket?.destroy();
  }
}
