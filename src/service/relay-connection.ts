import type { Socket } from "node:net";
import { Readable, Writable } from "node:stream";
import { RefusedSource } from "../intake/refused-source.ts";
import { type Fault, type Refusal, refusal } from "../outcome.ts";
import { encodeDuration } from "../policy/quantity.ts";
import { encodeFrame, encodePieces, type Frame, FrameReader } from "./frame.ts";
import {
  encodeRelayOutcome,
  parseRelayRequest,
  RELAY_VERSION,
  type RelayOutcome,
  type RelayRequest,
} from "./relay-message.ts";

/** How long a relay that has its outcome may take to go away, and one to read on whose connection is to end, in ms. */
const LINGER_MS = 2_000;

const BROKEN = `expected the relay's protocol, version ${RELAY_VERSION}: both sides must be of one version`;

/**
 * The service's end of one connection to a relay. Nothing that comes is believed to be in order; what is held of it is one
 * chunk of the socket and one short frame. It is read only while somebody waits for what comes.
 */
export class RelayConnection {
  /** The artefact's bytes. Asking for the first of them lets the relay send. Fails with {@link RefusedSource}. */
  readonly body: Readable;
  /** What the client gets on stdout; each write is done when the kernel has it. */
  readonly output: Writable;
  readonly #socket: Socket;
  readonly #frames = new FrameReader("relay");
  readonly #request = Promise.withResolvers<RelayRequest | Refusal>();
  readonly #closed: Promise<void>;
  #mayProceed = false;
  #isFinished = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    const proceed = (): void => this.#proceed();
    this.body = new Readable({ highWaterMark: 1, read: proceed });
    this.body.on("error", () => undefined); // whoever reads it gets it; who does not, needs it not
    this.output = new Writable({
      write: (chunk: Uint8Array, _encoding, done) => void socket.write(encodePieces("output", chunk), done),
    });
    this.output.on("error", () => undefined); // each write has it
    this.#request.promise.catch(() => undefined); // request() has it
    this.#closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => undefined); // the close that follows says it all
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("end", () => this.#lose());
    socket.on("close", () => this.#lose());
  }

  /** The request, which has to come within `maxWaitMs`; or why there is none. Throws the Fault of {@link RelayConnection.abort}. */
  async request(maxWaitMs: number): Promise<RelayRequest | Refusal> {
    const timer = setTimeout(() => {
      const reason = `the relay made no request within ${encodeDuration(maxWaitMs)}`;
      this.#request.resolve(refusal("timed-out", reason));
    }, maxWaitMs);
    try {
      return await this.#request.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Ends reading, and with it the work that waits for what comes: its outcome is the Fault. Who leaves an answer unread is waited
   * for no longer.
   */
  abort(fault: Fault): void {
    this.#request.reject(fault);
    this.body.destroy(fault);
    const socket = this.#socket;
    socket.setTimeout(LINGER_MS, () => {
      if (socket.writableLength > 0) socket.destroy();
    });
  }

  /** Says how it ended, and waits until the relay is gone, not for long. Never throws. */
  async finish(outcome: RelayOutcome): Promise<void> {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.body.destroy();
    this.#socket.end(encodeFrame("outcome", encodeRelayOutcome(outcome)));
    // What it is still sending is read and dropped: who closes a socket with something unread in it resets it, and the relay
    // would perhaps never read its outcome.
    this.#socket.resume();
    const timer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    await this.#closed;
    clearTimeout(timer);
  }

  #proceed(): void {
    if (!this.#mayProceed) {
      this.#mayProceed = true;
      this.#socket.write(encodeFrame("proceed"));
    }
    setImmediate(() => this.#socket.resume()); // the others first: what it has sent may be work for a while
  }

  #receive(chunk: Buffer): void {
    if (this.#isFinished) return;
    const frames = this.#frames.push(chunk);
    if (frames === undefined) this.#break();
    else for (const frame of frames) this.#takeFrame(frame);
  }

  #takeFrame(frame: Frame): void {
    switch (frame.kind) {
      case "request":
        this.#socket.pause();
        this.#request.resolve(parseRelayRequest(frame.payload) ?? refusal("bad-request", BROKEN));
        return;
      case "data":
        if (!this.#mayProceed) this.#break();
        else if (!this.body.destroyed && !this.body.push(frame.bytes)) this.#socket.pause();
        return;
      case "end-of-data":
        if (!this.#mayProceed) this.#break();
        else if (!this.body.destroyed) this.body.push(null);
        return;
      default:
        this.#break();
    }
  }

  #break(): void {
    this.#socket.pause();
    const broken = refusal("bad-request", BROKEN);
    this.#request.resolve(broken);
    this.body.destroy(new RefusedSource(broken));
  }

  /** An end without `end-of-data` is a relay that was lost, never the end of a file. */
  #lose(): void {
    const lost = refusal("truncated", "the connection was lost before the end of the file");
    this.#request.resolve(lost);
    if (!this.#frames.isAtEnd && !this.body.destroyed) this.body.destroy(new RefusedSource(lost));
  }
}
