import { once } from "node:events";
import { Fault, quoted } from "../../outcome.ts";
import type { Connection } from "./connection.ts";
import { encodeMessage, type Message, type SenderMessage } from "./message.ts";
import { readMessages } from "./message-stream.ts";
import { noAnswer, OtherSideSaid, wrongAnswer } from "./remote-log-fault.ts";

/** Of whom it is with. */
export interface ConversationOptions {
  /** As messages call the other side. */
  readonly name: string;
  /** How long each answer may take, in ms. */
  readonly timeoutMs: number;
}

/**
 * Messages to and fro over a connection, a question at a time. It always waits for one, so that an end, or a word unasked,
 * is noticed when it comes. Everything that goes wrong is a Fault `remote-log-unavailable`.
 */
export class Conversation {
  readonly #connection: Connection;
  readonly #options: ConversationOptions;
  readonly #messages: AsyncGenerator<Message, void, undefined>;
  /** The message that is waited for; settled, with {@link Conversation.#hasArrived}, where it came unasked. */
  #incoming: Promise<Message>;
  #hasArrived = false;
  #failed: Fault | undefined;
  #heardAt = 0;

  constructor(connection: Connection, options: ConversationOptions) {
    this.#connection = connection;
    this.#options = options;
    connection.stream.on("error", () => undefined); // the reader gets it
    this.#messages = readMessages(connection.stream);
    this.#incoming = this.#read();
  }

  /** Whether it can go on, as far as this side has heard. */
  get isOpen(): boolean {
    return this.#failed === undefined && !this.#hasArrived && !this.#connection.broken.aborted;
  }

  /** When the last message came, on the clock of `performance.now`. */
  get heardAt(): number {
    return this.#heardAt;
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
    if (this.#hasArrived) throw wrongAnswer(this.#options.name, "it spoke without being asked");
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
      this.#options.name,
      `it failed, ${quoted(message.code)}: ${quoted(message.reason, 200)}`,
    );
  }

  /** Ends it, and the connection. */
  close(): void {
    this.#failed ??= noAnswer(this.#options.name, "the connection is closed");
    this.#connection.close();
  }

  async #refusal(): Promise<Message> {
    const message = await this.next();
    if (message.kind === "conflict") return message;
    throw wrongAnswer(this.#options.name, "it answered before it had the question");
  }

  #read(): Promise<Message> {
    this.#hasArrived = false;
    const incoming = this.#readOne();
    incoming.then(
      () => {
        this.#hasArrived = true;
        this.#heardAt = performance.now();
      },
      (error: Fault) => {
        this.#hasArrived = true;
        this.#failed ??= error;
      },
    );
    return incoming;
  }

  async #readOne(): Promise<Message> {
    const { name } = this.#options;
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
    const { name, timeoutMs } = this.#options;
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
