import type { LogHostSource } from "../../config/config.ts";
import { Fault, quoted } from "../../outcome.ts";
import { type Acknowledgement, openAcknowledgement } from "../acknowledgements.ts";
import type { WitnessKey } from "../cosignature.ts";
import type { StoredEntry } from "../log-source.ts";
import { decodeBase64, encodeVerifierKey, type VerifierKey } from "../signed-note.ts";
import { connectTo } from "./connect.ts";
import type { Connection } from "./connection.ts";
import { Conversation } from "./conversation.ts";
import { entryMessages, readEntry } from "./entry-messages.ts";
import { MAX_ENTRIES_PER_MESSAGE, type Message, PROTOCOL_VERSION, type SenderMessage } from "./message.ts";
import { noAnswer, wrongAnswer } from "./remote-log-fault.ts";

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
  readonly #conversation: Conversation;
  readonly #expected: ExpectedLogHost;

  private constructor(
    conversation: Conversation,
    expected: ExpectedLogHost,
    newest: Acknowledgement | undefined,
  ) {
    this.#conversation = conversation;
    this.#expected = expected;
    this.newest = newest;
    this.size = newest?.checkpoint.size ?? 0;
  }

  /**
   * Connects to a configured log host, within its timeout.
   * @param verifier the key of the log that its copy is expected to be of
   * @param signal gives up when it aborts, also later on; its reason MUST be a Fault
   */
  static async connect(remote: LogHostSource, verifier: VerifierKey, signal?: AbortSignal): Promise<LogHost> {
    const { name, witness, timeoutMs } = remote;
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(noAnswer(name, "timed out")), timeoutMs);
    try {
      const any = AbortSignal.any(signal === undefined ? [deadline.signal] : [deadline.signal, signal]);
      return await LogHost.over(await connectTo(remote, any), { name, verifier, witness, timeoutMs });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Greets the log host at the other end of a connection, which is closed where it is not the expected one. */
  static async over(connection: Connection, expected: ExpectedLogHost): Promise<LogHost> {
    const { name, verifier, witness } = expected;
    const conversation = new Conversation(connection, expected);
    return await conversation.guard(async () => {
      const hello = await conversation.next();
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
      if (hello.note === undefined) return new LogHost(conversation, expected, undefined);
      const newest = openAcknowledgement(hello.note, verifier, witness);
      if (newest?.checkpoint.size !== hello.size)
        throw wrongAnswer(name, "its newest checkpoint is not one of this log with its cosignature");
      return new LogHost(conversation, expected, newest);
    });
  }

  /** Whether the connection stands, as far as this side has heard. */
  get isOpen(): boolean {
    return this.#conversation.isOpen;
  }

  /** When it was last heard, on the clock of `performance.now`. */
  get heardAt(): number {
    return this.#conversation.heardAt;
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
    return await this.#conversation.guard(async () => {
      const answer = await this.#conversation.ask(appendMessages(note, from, to, entries));
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
    return await this.#conversation.guard(async () => {
      const answer = await this.#conversation.ask([{ kind: "root-of", size }]);
      const root = answer.kind === "root" && answer.size === size ? decodeBase64(answer.root) : undefined;
      if (root === undefined) throw unexpected(this.#expected.name, answer);
      return root;
    });
  }

  /** Its entries from `from` to `to` (exclusive), as it says: their form and numbers are right, nothing else is known. */
  async *fetch(from: number, to: number): AsyncGenerator<StoredEntry, void, undefined> {
    const conversation = this.#conversation;
    for (let seq = from; seq < to; ) {
      const end = Math.min(seq + MAX_ENTRIES_PER_MESSAGE, to);
      let first: Message | undefined = await conversation.guard(() =>
        conversation.ask([{ kind: "fetch", from: seq, to: end }]),
      );
      const next = async () => {
        const message = first ?? (await conversation.next());
        first = undefined;
        return message;
      };
      for (; seq < end; seq++) yield await conversation.guard(() => readEntry(seq, next));
    }
  }

  /** Ends the connection. */
  close(): void {
    this.#conversation.close();
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
