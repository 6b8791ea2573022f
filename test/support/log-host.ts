import { generateKeyPairSync } from "node:crypto";
import { type Duplex, duplexPair } from "node:stream";
import { signCheckpoint } from "../../src/log/checkpoint.ts";
import { cosign, type Witness, type WitnessKey } from "../../src/log/cosignature.ts";
import type { StoredEntry } from "../../src/log/log-source.ts";
import { treeRoot } from "../../src/log/merkle.ts";
import type { Connection } from "../../src/log/remote/connection.ts";
import { entryMessages, readEntry } from "../../src/log/remote/entry-messages.ts";
import {
  type AppendMessage,
  encodeMessage,
  type Message,
  PROTOCOL_VERSION,
  type ReceiverMessage,
} from "../../src/log/remote/message.ts";
import { readMessages } from "../../src/log/remote/message-stream.ts";
import { encodeVerifierKey, type NoteSigner, noteKey, type VerifierKey } from "../../src/log/signed-note.ts";
import { treeOf } from "../log/memory-tree.ts";

/** A witness with a new key. */
export function newWitness(name = "loghost.example.org"): Witness {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return { key: noteKey("cosignature", name, publicKey), privateKey };
}

/**
 * What a log host of tests does instead of sending a message: other bytes, nothing (it waits for ever, reading on), its end,
 * or garbage without end.
 */
export type Instead = Message | Uint8Array | "silence" | "end" | "endless";

/** Looks at each message before it goes out; the number counts them, from 0 (hello). */
export type Twist = (message: ReceiverMessage, number: number) => Instead;

/**
 * A log host of tests: a copy in memory that believes whatever it is sent, and says the truth unless told otherwise. How a
 * real one decides is tested with the real one.
 */
export class FakeLogHost {
  readonly entries: StoredEntry[] = [];
  readonly witness: Witness;
  readonly verifier: VerifierKey;
  /** The newest checkpoint, cosigned. */
  note: string | undefined;
  /** When it cosigns. */
  now = new Date("2026-11-23T12:00:00Z");
  /** Messages that it has read, over all connections. */
  readonly received: Message[] = [];
  /** Connections so far. */
  connections = 0;
  readonly #streams = new Set<Duplex>();
  /** Is waited for when a question has begun. */
  beforeAnswer: (question: Message) => Promise<unknown> = async () => undefined;
  twist: Twist = (message) => message;
  /** Ends after it has read so many messages of a connection. */
  endsAfterReading = Number.POSITIVE_INFINITY;

  constructor(verifier: VerifierKey, witness = newWitness()) {
    this.verifier = verifier;
    this.witness = witness;
  }

  get witnessKey(): WitnessKey {
    return this.witness.key;
  }

  root(size = this.entries.length): Uint8Array {
    const tree = treeOf(this.entries.map(({ line }) => Buffer.from(line)));
    return treeRoot(size, tree.read);
  }

  /** Takes over what a log has, as if it had been sent. */
  take(entries: Iterable<StoredEntry>, note: string): void {
    this.entries.push(...entries);
    this.note = cosign(note, this.witness, this.now);
  }

  /** A new connection to it, as a signing host holds it. */
  connect(): Connection & { readonly break: (reason: Error) => void } {
    const [near, far] = duplexPair();
    void this.serve(far);
    const broken = new AbortController();
    return {
      stream: near,
      broken: broken.signal,
      said: () => undefined,
      close: () => {
        near.destroy();
        far.destroy();
      },
      break: (reason) => broken.abort(reason),
    };
  }

  /** Ends every connection. */
  hangUp(): void {
    for (const stream of this.#streams) stream.end();
  }

  /** What it would say first, now. */
  hello(): ReceiverMessage {
    return {
      kind: "hello",
      version: PROTOCOL_VERSION,
      verifier: encodeVerifierKey(this.verifier),
      witness: encodeVerifierKey(this.witnessKey),
      size: this.entries.length,
      ...(this.note === undefined ? {} : { note: this.note }),
    };
  }

  /** Speaks the protocol at the far end of a stream, until either side ends it. */
  async serve(stream: Duplex): Promise<void> {
    this.connections += 1;
    this.#streams.add(stream);
    stream.on("error", () => undefined);
    let sent = 0;
    let read = 0;
    const send = async (message: ReceiverMessage): Promise<boolean> => {
      const instead = this.twist(message, sent++);
      if (instead === "silence") return true;
      if (instead === "end") {
        stream.end();
        return false;
      }
      if (instead === "endless") {
        const garbage = Buffer.alloc(64 * 1024, "x");
        while (!stream.destroyed && !stream.writableEnded) {
          stream.write(garbage);
          await new Promise((resolve) => setImmediate(resolve));
        }
        return false;
      }
      stream.write(instead instanceof Uint8Array ? instead : `${encodeMessage(instead)}\n`);
      return true;
    };
    try {
      if (!(await send(this.hello()))) return;
      const messages = readMessages(stream);
      const next = async (): Promise<Message> => {
        if (read++ >= this.endsAfterReading) throw new Error("told to end");
        const result = await messages.next();
        if (result.done === true) throw new Error("the other side has ended");
        this.received.push(result.value);
        return result.value;
      };
      for (;;) {
        const question = await next();
        await this.beforeAnswer(question);
        for (const answer of await this.#answer(question, next)) if (!(await send(answer))) return;
      }
    } catch {
      stream.end();
    }
  }

  async #answer(question: Message, next: () => Promise<Message>): Promise<Iterable<ReceiverMessage>> {
    switch (question.kind) {
      case "append":
        return [await this.#append(question, next)];
      case "root-of":
        return [
          {
            kind: "root",
            size: question.size,
            root: Buffer.from(this.root(question.size)).toString("base64"),
          },
        ];
      case "fetch":
        return this.entries.slice(question.from, question.to).flatMap((entry) => [...entryMessages(entry)]);
      default:
        throw new Error(`no question: ${question.kind}`);
    }
  }

  async #append({ from, to, note }: AppendMessage, next: () => Promise<Message>): Promise<ReceiverMessage> {
    for (let seq = from; seq < to; seq++) {
      const entry = await readEntry(seq, next);
      const known = this.entries[seq];
      if (known !== undefined && known.line !== entry.line)
        return { kind: "conflict", reason: `entry ${seq} is another`, ...(this.note && { note: this.note }) };
      this.entries[seq] = entry;
    }
    if (this.entries.length === to) this.note = cosign(note, this.witness, this.now);
    return { kind: "cosigned", note: this.note ?? "nothing" };
  }
}

/** A checkpoint of any head, signed by the log: what somebody with the log's key could make. */
export function forgedCheckpoint(size: number, signer: NoteSigner): string {
  return signCheckpoint({ size, root: Buffer.alloc(32, 0x42) }, signer);
}
