import { once } from "node:events";
import type { SshRemoteLog } from "../../config/config.ts";
import { Fault, quoted } from "../../outcome.ts";
import { type Acknowledgement, openAcknowledgement } from "../acknowledgements.ts";
import type { WitnessKey } from "../cosignature.ts";
import type { StoredEntry } from "../log-source.ts";
import { decodeBase64, encodeVerifierKey, type VerifierKey } from "../signed-note.ts";
import { entryMessages, readEntry } from "./entry-messages.ts";
import {
  encodeMessage,
  MAX_ENTRIES_PER_MESSAGE,
  type Message,
  PROTOCOL_VERSION,
  type SenderMessage,
} from "./message.ts";
import { readMessages } from "./message-stream.ts";
import { noAnswer, OtherSideSaid, wrongAnswer } from "./remote-log-fault.ts";
import { type Connection, connectSsh } from "./ssh-connection.ts";

/** What a log host is expected to be. */
export interface ExpectedLogHost {
  /** As messages call it. */
  readonly name: string;
  /** The key of the log that it keeps a copy of. */
  readonly verifier: VerifierKey;
  /** Who cosigns there. */
  readonly witness: WitnessKey;
  /** How long each answer may take, in ms. */
  readonly timeoutMs: number;
}

/** The log host says that what it was sent contradicts what it holds. */
export class ConflictFault extends Fault {
  /** Its newest checkpoint, as it says: to be verified. Controlled by: the other side. */
  readonly note: string | undefined;

  constructor(fault: Fault, note: string | undefined) {
    super(fault.code, fault.message, { cause: fault.cause });
    this.note = note;
  }
}

/**
 * A log host that answers: the sender's side of the remote log's protocol (docs/FORMATS.md, "Remote log"). One question at a
 * time. Whatever goes wrong is a Fault `remote-log-unavailable`, ends the connection, and is the answer to everything
 * from then on. Nothing that it says is believed but what keys have signed.
 */
export class LogHost {
  /** Number of entries that it had when the connection began. */
  readonly size: number;
  /** What it acknowledged when the connection began; undefined where it had nothing. */
  readonly newest: Acknowledgement | undefined;
  readonly #talk: Talk;
  readonly #expected: ExpectedLogHost;

  private constructor(talk: Talk, expected: ExpectedLogHost, newest: Acknowledgement | undefined) {
    this.#talk = talk;
    this.#expected = expected;
    this.newest = newest;
    this.size = newest?.checkpoint.size ?? 0;
  }

  /**
   * Connects to a configured log host, within its timeout.
   * @param verifier the key of the log that its copy is expected to be of
   * @param signal gives up when it aborts, also later on; its reason MUST be a Fault
   */
  static async connect(remote: SshRemoteLog, verifier: VerifierKey, signal?: AbortSignal): Promise<LogHost> {
    const { name, witness, timeoutMs } = remote;
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(noAnswer(name, "timed out")), timeoutMs);
    try {
      const any = AbortSignal.any(signal === undefined ? [deadline.signal] : [deadline.signal, signal]);
      return await LogHost.over(await connectSsh(remote, any), { name, verifier, witness, timeoutMs });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Greets the log host at the other end of a connection, which is closed where it is not the expected one. */
  static async over(connection: Connection, expected: ExpectedLogHost): Promise<LogHost> {
    const { name, verifier, witness } = expected;
    const talk = new Talk(connection, expected);
    return await talk.guard(async () => {
      const hello = await talk.next();
      if (hello.kind !== "hello") throw unexpected(name, hello);
      if (hello.version !== PROTOCOL_VERSION)
        throw wrongAnswer(
          name,
          `it speaks version ${hello.version} of the protocol, not ${PROTOCOL_VERSION}`,
        );
      if (hello.verifier !== encodeVerifierKey(verifier))
        throw wrongAnswer(name, "it keeps the copy of another log");
      if (hello.witness !== encodeVerifierKey(witness))
        throw wrongAnswer(name, "its witness key is not the configured one");
      if (hello.note === undefined) return new LogHost(talk, expected, undefined);
      const newest = openAcknowledgement(hello.note, verifier, witness);
      if (newest?.checkpoint.size !== hello.size)
        throw wrongAnswer(name, "its newest checkpoint is not one of this log with its cosignature");
      return new LogHost(talk, expected, newest);
    });
  }

  /** Whether the connection stands, as far as this side has heard. */
  get isOpen(): boolean {
    return this.#talk.isOpen;
  }

  /**
   * Sends entries `from` to `to` (exclusive), at most 256, under the log's checkpoint of size `to`, and waits for the
   * acknowledgement of as many or more. It verifies; whether it is a head of this log is for the caller to say.
   * Fault {@link ConflictFault} where the log host sees a contradiction.
   */
  async append(
    note: string,
    from: number,
    to: number,
    entries: Iterable<StoredEntry>,
  ): Promise<Acknowledgement> {
    const { name, verifier, witness } = this.#expected;
    return await this.#talk.guard(async () => {
      const answer = await this.#talk.ask(appendMessages(note, from, to, entries));
      if (answer.kind === "conflict")
        throw new ConflictFault(
          wrongAnswer(name, `it sees a contradiction, ${quoted(answer.reason, 200)}`),
          answer.note,
        );
      if (answer.kind !== "cosigned") throw unexpected(name, answer);
      const acknowledgement = openAcknowledgement(answer.note, verifier, witness);
      if (acknowledgement === undefined)
        throw wrongAnswer(name, "its acknowledgement is not of this log, or not cosigned by its witness");
      const { size } = acknowledgement.checkpoint;
      if (size < to) throw wrongAnswer(name, `it acknowledges ${size} entries of the ${to} that it was sent`);
      return acknowledgement;
    });
  }

  /** The root that its first `size` entries have, as it says. */
  async rootOf(size: number): Promise<Uint8Array> {
    return await this.#talk.guard(async () => {
      const answer = await this.#talk.ask([{ kind: "root-of", size }]);
      const root = answer.kind === "root" && answer.size === size ? decodeBase64(answer.root) : undefined;
      if (root === undefined) throw unexpected(this.#expected.name, answer);
      return root;
    });
  }

  /** Its entries from `from` to `to` (exclusive), as it says: their form and numbers are right, nothing else is known. */
  async *fetch(from: number, to: number): AsyncGenerator<StoredEntry, void, undefined> {
    const talk = this.#talk;
    for (let seq = from; seq < to; ) {
      const end = Math.min(seq + MAX_ENTRIES_PER_MESSAGE, to);
      let first: Message | undefined = await talk.guard(() =>
        talk.ask([{ kind: "fetch", from: seq, to: end }]),
      );
      const next = async () => {
        const message = first ?? (await talk.next());
        first = undefined;
        return message;
      };
      for (; seq < end; seq++) yield await talk.guard(() => readEntry(seq, next));
    }
  }

  /** Ends the connection. */
  close(): void {
    this.#talk.close();
  }
}

function* appendMessages(
  note: string,
  from: number,
  to: number,
  entries: Iterable<StoredEntry>,
): Generator<SenderMessage> {
  yield { kind: "append", from, to, note };
  for (const entry of entries) yield* entryMessages(entry);
}

function unexpected(name: string, message: Message): Fault {
  return wrongAnswer(name, `it sent ${message.kind}`);
}

/** Messages to and fro. It always waits for one, so that an end, or a word unasked, is noticed when it comes. */
class Talk {
  readonly #connection: Connection;
  readonly #expected: ExpectedLogHost;
  readonly #messages: AsyncGenerator<Message, void, undefined>;
  /** The message that is waited for; settled, with {@link Talk.#hasArrived}, where it came unasked. */
  #incoming: Promise<Message>;
  #hasArrived = false;
  #failed: Fault | undefined;

  constructor(connection: Connection, expected: ExpectedLogHost) {
    this.#connection = connection;
    this.#expected = expected;
    connection.stream.on("error", () => undefined); // the reader gets it
    this.#messages = readMessages(connection.stream);
    this.#incoming = this.#read();
  }

  get isOpen(): boolean {
    return this.#failed === undefined && !this.#hasArrived && !this.#connection.broken.aborted;
  }

  /** Runs a piece of the conversation; after a failure nothing more is said. */
  async guard<T>(work: () => Promise<T>): Promise<T> {
    const { broken } = this.#connection;
    try {
      if (broken.aborted) throw broken.reason;
      if (this.#failed !== undefined) throw this.#failed;
      return await work();
    } catch (error) {
      if (error instanceof Fault) this.#failed ??= error;
      this.#connection.close();
      throw error;
    }
  }

  /** Sends a question, and waits for the first message of its answer. */
  async ask(question: Iterable<SenderMessage>): Promise<Message> {
    const { stream } = this.#connection;
    if (this.#hasArrived) throw wrongAnswer(this.#expected.name, "it spoke without being asked");
    for (const message of question) {
      // The other side may end it in the middle, and say why: who only writes would wait for ever.
      if (this.#hasArrived) return await this.#refusal();
      if (!stream.write(`${encodeMessage(message)}\n`))
        await this.#within(Promise.race([once(stream, "drain"), this.#incoming]));
    }
    return await this.next();
  }

  /** The next message; a Fault where it says that the other side failed. */
  async next(): Promise<Message> {
    const message = await this.#within(this.#incoming);
    this.#incoming = this.#read();
    if (message.kind !== "failed") return message;
    throw wrongAnswer(
      this.#expected.name,
      `it failed, ${quoted(message.code)}: ${quoted(message.reason, 200)}`,
    );
  }

  close(): void {
    this.#failed ??= noAnswer(this.#expected.name, "the connection is closed");
    this.#connection.close();
  }

  async #refusal(): Promise<Message> {
    const message = await this.next();
    if (message.kind === "conflict") return message;
    throw wrongAnswer(this.#expected.name, "it answered before it had the question");
  }

  #read(): Promise<Message> {
    this.#hasArrived = false;
    const incoming = this.#readOne();
    incoming.then(
      () => {
        this.#hasArrived = true;
      },
      (error: Fault) => {
        this.#hasArrived = true;
        this.#failed ??= error;
      },
    );
    return incoming;
  }

  async #readOne(): Promise<Message> {
    const { name } = this.#expected;
    let result: IteratorResult<Message, void>;
    try {
      result = await this.#messages.next();
    } catch (error) {
      throw wrongAnswer(name, "it does not speak the remote log's protocol", error);
    }
    if (result.done !== true) return result.value;
    const said = this.#connection.said();
    throw noAnswer(name, "it ended the connection", said === undefined ? undefined : new OtherSideSaid(said));
  }

  /** Waits for the other side, no longer than an answer may take. */
  async #within<T>(work: Promise<T>): Promise<T> {
    const { name, timeoutMs } = this.#expected;
    const { broken } = this.#connection;
    const { promise, reject } = Promise.withResolvers<never>();
    const giveUp = () => reject(broken.reason);
    const timer = setTimeout(() => reject(noAnswer(name, "timed out")), timeoutMs);
    broken.addEventListener("abort", giveUp, { once: true });
    try {
      if (broken.aborted) giveUp();
      return await Promise.race([work, promise]);
    } finally {
      clearTimeout(timer);
      broken.removeEventListener("abort", giveUp);
    }
  }
}
