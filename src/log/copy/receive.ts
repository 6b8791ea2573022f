import type { Readable, Writable } from "node:stream";
import {
  type Code,
  Fault,
  isRefusal,
  printableReason,
  type Refusal,
  type RefusalCode,
  refusal,
} from "../../outcome.ts";
import { encodeDuration, encodeSize } from "../../policy/quantity.ts";
import type { StoredEntry } from "../log-source.ts";
import { entryMessages, readEntry } from "../remote/entry-messages.ts";
import {
  type AppendMessage,
  encodeMessage,
  type FetchMessage,
  MAX_APPEND_BYTES,
  type Message,
  PROTOCOL_VERSION,
  type ReceiverMessage,
  type RootOfMessage,
} from "../remote/message.ts";
import { readMessages } from "../remote/message-stream.ts";
import { encodeVerifierKey } from "../signed-note.ts";
import type { LogCopy } from "./log-copy.ts";

/** The receiver's side of the remote log's protocol (docs/FORMATS.md, "Remote log"), over any two streams. */

export interface ReceiveBounds {
  /** The wait for a question, in ms: as long as the sender reads and decides. */
  readonly idleMs: number;
  /** The wait for the next message of an append, or for an answer to be taken, in ms. */
  readonly messageMs: number;
  /** Bytes of all lines of one append. */
  readonly maxAppendBytes: number;
}

export const RECEIVE_BOUNDS: ReceiveBounds = {
  idleMs: 15 * 60_000,
  messageMs: 60_000,
  maxAppendBytes: MAX_APPEND_BYTES,
};

export interface Receiver {
  /** Opens the copy; what it throws is told to the sender. */
  readonly open: () => LogCopy;
  /** Controlled by: the sender. */
  readonly source: Readable;
  readonly sink: Writable;
  readonly now: () => Date;
  readonly bounds?: ReceiveBounds;
}

/**
 * Serves one sender until it ends its stream: says hello, and answers appends and questions, one after the other. An append
 * is read whole, within its bounds, before anybody's lock is taken. The first that goes wrong is told to the sender as
 * `failed` or `conflict`, and is the end: a refusal is returned (`bad-request`, `truncated`, `timed-out`, `bad-proof` for a conflict), everything
 * else is thrown. Both streams are given up.
 */
export async function receive(receiver: Receiver): Promise<Refusal | undefined> {
  const { open, source, sink, now, bounds = RECEIVE_BOUNDS } = receiver;
  const line = new Line(source, sink, bounds);
  let copy: LogCopy | undefined;
  try {
    copy = open();
    return await serve(copy, line, now);
  } catch (error) {
    const { code, reason } = described(error);
    await line.send({ kind: "failed", code, reason }).catch(() => undefined);
    if (error instanceof Refused) return error.refusal;
    throw error;
  } finally {
    line.close();
    copy?.close();
  }
}

async function serve(copy: LogCopy, line: Line, now: () => Date): Promise<Refusal | undefined> {
  const { size, acknowledgement } = copy.newest();
  await line.send({
    kind: "hello",
    version: PROTOCOL_VERSION,
    verifier: encodeVerifierKey(copy.verifier),
    witness: encodeVerifierKey(copy.witness),
    size,
    ...(acknowledgement === undefined ? {} : { note: acknowledgement.note }),
  });
  for (;;) {
    const question = await line.question();
    if (question === undefined) return undefined;
    switch (question.kind) {
      case "append": {
        const conflict = await answerAppend(copy, question, line, now);
        if (conflict !== undefined) return conflict;
        break;
      }
      case "root-of":
        await answerRoot(copy, question, line);
        break;
      case "fetch":
        await answerFetch(copy, question, line);
        break;
      default:
        throw new Refused("bad-request", `expected append, root-of or fetch, not ${question.kind}`);
    }
  }
}

async function answerAppend(
  copy: LogCopy,
  { from, to, note }: AppendMessage,
  line: Line,
  now: () => Date,
): Promise<Refusal | undefined> {
  const entries: StoredEntry[] = [];
  for (let seq = from; seq < to; seq++) entries.push(await readSent(seq, line));
  const answer = copy.append({ from, to, note, entries }, now());
  if ("cosignedAt" in answer) {
    await line.send({ kind: "cosigned", note: answer.note });
    return undefined;
  }
  if (isRefusal(answer)) throw new Refused(answer.code, answer.reason);
  await line.send({
    kind: "conflict",
    reason: answer.reason,
    ...(answer.note === undefined ? {} : { note: answer.note }),
  });
  return refusal("bad-proof", answer.reason);
}

/** The next entry of an append, its form looked at. */
async function readSent(seq: number, line: Line): Promise<StoredEntry> {
  try {
    return await readEntry(seq, () => line.next());
  } catch (error) {
    throw error instanceof Fault ? new Refused("bad-request", `expected entry ${seq}, whole`) : error;
  }
}

async function answerRoot(copy: LogCopy, { size }: RootOfMessage, line: Line): Promise<void> {
  const root = copy.rootOf(size);
  if (root === undefined) throw beyondEnd(copy);
  await line.send({ kind: "root", size, root: Buffer.from(root).toString("base64") });
}

async function answerFetch(copy: LogCopy, { from, to }: FetchMessage, line: Line): Promise<void> {
  if (to > copy.newest().size) throw beyondEnd(copy);
  for (let seq = from; seq < to; seq++) {
    // Each on its own: a reader that stops in the middle holds no snapshot of the copy.
    for (const stored of [...copy.entries(seq, seq + 1)]) {
      for (const message of entryMessages(stored)) await line.send(message);
    }
  }
}

function beyondEnd(copy: LogCopy): Refused {
  return new Refused("bad-request", `the copy has ${copy.newest().size} entries`);
}

/** A refusal on its way out of the conversation. */
class Refused extends Error {
  readonly refusal: Refusal;

  constructor(code: RefusalCode, reason: string) {
    super(reason);
    this.refusal = refusal(code, reason);
  }
}

/** What the sender is told. What a bug had to say is not for it. */
function described(error: unknown): { readonly code: Code; readonly reason: string } {
  if (error instanceof Refused) return error.refusal;
  if (error instanceof Fault) return { code: error.code, reason: printableReason(error.message, 1024) };
  return { code: "internal", reason: "an unexpected error" };
}

/** Messages in and out, each within its time. */
class Line {
  readonly #messages: AsyncGenerator<Message, void, undefined>;
  readonly #source: Readable;
  readonly #sink: Writable;
  readonly #bounds: ReceiveBounds;
  /** Bytes that came since the last question. */
  #received = 0;
  /** A message was not taken in time: none after it will be. */
  #stuck = false;

  constructor(source: Readable, sink: Writable, bounds: ReceiveBounds) {
    this.#source = source;
    this.#sink = sink;
    this.#bounds = bounds;
    // Who reads and who writes gets it; one that comes in between is no bug.
    source.on("error", () => undefined);
    sink.on("error", () => undefined);
    this.#messages = readMessages(this.#counted());
  }

  /** The next question; undefined where the sender has ended its stream. */
  async question(): Promise<Message | undefined> {
    this.#received = 0;
    return await this.#read(this.#bounds.idleMs);
  }

  /** The next message of an append. */
  async next(): Promise<Message> {
    const message = await this.#read(this.#bounds.messageMs);
    if (message === undefined)
      throw new Refused("truncated", "the sender went away in the middle of an append");
    const { maxAppendBytes } = this.#bounds;
    if (this.#received <= maxAppendBytes) return message;
    throw new Refused("bad-request", `expected appends of at most ${encodeSize(maxAppendBytes)}`);
  }

  /** Writes a message and waits until it is taken. Fault `reply-not-delivered` where the sender is gone. */
  async send(message: ReceiverMessage): Promise<void> {
    const text = `${encodeMessage(message)}\n`;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (this.#stuck) throw timedOut(this.#bounds.messageMs);
    const late = setTimeout(() => {
      this.#stuck = true;
      reject(timedOut(this.#bounds.messageMs));
    }, this.#bounds.messageMs);
    this.#sink.write(text, (cause) =>
      cause ? reject(new Fault("reply-not-delivered", "the sender is gone", { cause })) : resolve(),
    );
    try {
      await promise;
    } finally {
      clearTimeout(late);
    }
  }

  /** Reads nothing more. */
  close(): void {
    this.#source.destroy();
  }

  async #read(waitMs: number): Promise<Message | undefined> {
    const late = setTimeout(() => this.#source.destroy(timedOut(waitMs)), waitMs);
    try {
      const result = await this.#messages.next();
      return result.done === true ? undefined : result.value;
    } catch (error) {
      // From here on it is the sender that is at fault, whatever the reader calls its other side.
      if (error instanceof Fault)
        throw new Refused("bad-request", "expected lines of the remote log's protocol");
      if (error instanceof Refused) throw error;
      throw new Refused("truncated", "the connection to the sender broke");
    } finally {
      clearTimeout(late);
    }
  }

  async *#counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#source as AsyncIterable<Uint8Array>) {
      this.#received += chunk.length;
      yield chunk;
    }
  }
}

function timedOut(waitMs: number): Refused {
  return new Refused("timed-out", `the sender was not heard of for ${encodeDuration(waitMs)}`);
}
