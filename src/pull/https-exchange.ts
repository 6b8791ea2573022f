import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders, RequestOptions } from "node:http";
import { Agent, request as startRequest } from "node:https";
import type { Duplex } from "node:stream";
import { Fault } from "../outcome.ts";
import type { Address } from "../request/peer.ts";
import { connectMutualTls, type MutualTlsPeer, peerFault } from "../transport/mutual-tls-connection.ts";
import { describeTlsFailure } from "../transport/tls-failure.ts";

/** Largest head of an answer, in bytes; nginx's have about 300. */
const MAX_HEAD_BYTES = 4096;
/** Most interim answers (RFC 9110 §15.2) before the answer; nginx sends none. */
const MAX_INTERIM_ANSWERS = 2;
/** So many times the peer's `timeoutMs` for the whole body of a small answer: a byte now and then is no answer. */
const SMALL_BODY_TIMEOUTS = 4;
/** Of a large one less than this within `timeoutMs` is silence, in bytes. */
const LEAST_PROGRESS_BYTES = 4096;
/** RFC 9110 §8.8.3; nginx's have less than 30 characters. */
const ETAG = /^(?:W\/)?"[\x21\x23-\x7e]{1,128}"$/;

export interface Question {
  /** A lost MOVE may have been done, and MUST NOT be repeated; the others may. */
  readonly method: "GET" | "HEAD" | "PUT" | "MOVE";
  readonly path: string;
  /** All of them: none is added. */
  readonly headers: OutgoingHttpHeaders;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
}

/**
 * One question and its answer. A kept connection that the server has given up meanwhile is replaced once, without a word.
 * {@link Exchange.end} MUST be called, and ends a connection whose answer was not read to its end.
 */
export class Exchange {
  readonly #connection: KeptConnection;
  readonly #question: Question;
  readonly #stop = new AbortController();
  readonly #onAbort = () => this.#giveUp();
  #request: ClientRequest | undefined;
  #answer: Answer | undefined;
  /** Why it was given up. */
  #late: Fault | undefined;

  constructor(connection: KeptConnection, question: Question) {
    this.#connection = connection;
    this.#question = question;
    question.signal.addEventListener("abort", this.#onAbort);
  }

  /** Asks, hands over the answer, and ends. */
  async run<T>(use: (answer: Answer) => Promise<T>): Promise<T> {
    try {
      return await use(await this.answer());
    } finally {
      this.end();
    }
  }

  async answer(): Promise<Answer> {
    this.#question.signal.throwIfAborted();
    try {
      this.#answer = await this.#ask().catch((error: unknown) => {
        if (!this.#wasStale(error)) throw error;
        return this.#ask();
      });
    } catch (error) {
      throw this.explained(error);
    }
    return this.#answer;
  }

  end(): void {
    this.#question.signal.removeEventListener("abort", this.#onAbort);
    if (this.#answer?.isComplete !== true) this.#giveUp();
  }

  /** What the other side has to answer, or to go on with, within `ms`: then the exchange is over. */
  async within<T>(promise: Promise<T>, ms: number): Promise<T> {
    const timer = setTimeout(() => {
      this.#late = this.fault(`was silent, or too slow, for ${ms / 1000} s`);
      this.#giveUp();
    }, ms);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  get timeoutMs(): number {
    return this.#connection.peer.timeoutMs;
  }

  fault(what: string, cause?: unknown): Fault {
    return peerFault(this.#connection.peer, what, cause);
  }

  /** An error of the connection as what it means. */
  explained(error: unknown): unknown {
    if (this.#question.signal.aborted) return this.#question.signal.reason;
    if (this.#late !== undefined) return this.#late;
    if (error instanceof Fault || error instanceof TypeError || !(error instanceof Error)) return error;
    const code = "code" in error ? String(error.code) : "";
    if (code === "HPE_HEADER_OVERFLOW")
      return this.fault(`sends a head of more than ${MAX_HEAD_BYTES} bytes`, error);
    if (code.startsWith("HPE_")) return this.fault("does not answer in HTTP/1.1", error);
    return this.fault(describeTlsFailure(error, this.#connection.peer), error);
  }

  #giveUp(): void {
    this.#stop.abort();
    this.#request?.destroy();
  }

  async #ask(): Promise<Answer> {
    const { method, path, headers, body } = this.#question;
    const options: RequestOptions & ConnectOptions = {
      agent: this.#connection,
      connectSignal: this.#stop.signal,
      method,
      path,
      headers,
      setDefaultHeaders: false,
      maxHeaderSize: MAX_HEAD_BYTES,
      insecureHTTPParser: false,
    };
    const request = startRequest(options);
    this.#request = request;
    const socketThere = new Promise<void>((resolve) => request.once("socket", () => resolve()));
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      request.once("response", resolve);
      request.on("error", reject); // for good: an error behind the answer is the answer's
      request.once("close", () => reject(Object.assign(new Error("closed"), { code: "ECONNRESET" })));
      request.once("upgrade", (_, socket) => {
        socket.destroy();
        reject(this.fault("changes the protocol, which was not asked for"));
      });
      let interim = 0;
      request.on("information", () => {
        interim += 1;
        if (interim > MAX_INTERIM_ANSWERS) request.destroy(this.fault("sends interim answers and no answer"));
      });
    });
    request.end(body);
    await Promise.race([socketThere, response]); // as long as connecting may take
    const head = await this.within(response, this.timeoutMs);
    if (head.httpVersion !== "1.1") throw this.fault("does not answer in HTTP/1.1");
    return new Answer(head, this);
  }

  /** A connection that was kept, and over before it had carried this question: it is no news of the server. */
  #wasStale(error: unknown): boolean {
    if (this.#request?.reusedSocket !== true || this.#stop.signal.aborted) return false;
    if (error instanceof Fault || this.#question.method === "MOVE") return false;
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    return code === "ECONNRESET" || code === "EPIPE";
  }
}

/** The head of an answer, and its body to be read. */
export class Answer {
  readonly #response: IncomingMessage;
  readonly #exchange: Exchange;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #isComplete = false;

  constructor(response: IncomingMessage, exchange: Exchange) {
    this.#response = response;
    this.#exchange = exchange;
    this.#chunks = response[Symbol.asyncIterator]();
  }

  get status(): number {
    return this.#response.statusCode ?? 0;
  }

  /** @param name in lower case */
  header(
    name: "content-length" | "content-range" | "content-encoding" | "transfer-encoding" | "location",
  ): string | undefined {
    return this.#response.headers[name];
  }

  /** Undefined where there is none, or none that could be sent back. */
  get etag(): string | undefined {
    const { etag } = this.#response.headers;
    return etag !== undefined && ETAG.test(etag) ? etag : undefined;
  }

  /** Read to its end, so that the connection can be kept. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** The body of a small answer, at most its first `maxBytes`; the rest is not waited for. */
  async read(maxBytes: number): Promise<Uint8Array> {
    const { timeoutMs } = this.#exchange;
    return this.#exchange.within(this.#read(maxBytes), SMALL_BODY_TIMEOUTS * timeoutMs);
  }

  /** The body as it comes; throws where it is not as long as its head says. */
  async *chunks(): AsyncIterable<Uint8Array> {
    const { timeoutMs } = this.#exchange;
    let waitedMs = 0;
    let progressBytes = 0;
    for (;;) {
      const start = performance.now();
      const chunk = await this.#next(timeoutMs - waitedMs);
      if (chunk === undefined) return;
      progressBytes += chunk.byteLength;
      waitedMs += performance.now() - start;
      if (progressBytes >= LEAST_PROGRESS_BYTES) [waitedMs, progressBytes] = [0, 0];
      yield chunk;
    }
  }

  async #read(maxBytes: number): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for (;;) {
      const chunk = await this.#next(this.#exchange.timeoutMs);
      if (chunk === undefined) break;
      chunks.push(chunk);
      bytes += chunk.byteLength;
      if (bytes > maxBytes) break;
    }
    return Buffer.concat(chunks).subarray(0, maxBytes);
  }

  async #next(ms: number): Promise<Uint8Array | undefined> {
    try {
      const { done, value } = await this.#exchange.within(this.#chunks.next(), ms);
      if (done === true) this.#isComplete = this.#response.complete;
      return done === true ? undefined : value;
    } catch (error) {
      throw this.#exchange.explained(error);
    }
  }
}

interface ConnectOptions {
  /** Gives up connecting. */
  readonly connectSignal: AbortSignal;
}

/**
 * One connection is kept between questions; two at the same time have one each. The other side of every new one is looked at before
 * anything is sent on it.
 */
export class KeptConnection extends Agent {
  readonly peer: MutualTlsPeer;
  #address: Address | undefined;

  constructor(peer: MutualTlsPeer) {
    super({ keepAlive: true, keepAliveMsecs: 60_000, maxFreeSockets: 1 });
    this.peer = peer;
  }

  /** Where the last one led. */
  get address(): Address | undefined {
    return this.#address;
  }

  override createConnection(
    options: RequestOptions & Partial<ConnectOptions>,
    callback: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const { connectSignal = new AbortController().signal } = options;
    connectMutualTls(this.peer, connectSignal).then(
      ({ socket, address }) => {
        this.#address = address;
        callback(null, socket);
      },
      (error: Error) => callback(error, undefined as unknown as Duplex),
    );
    return undefined;
  }
}
