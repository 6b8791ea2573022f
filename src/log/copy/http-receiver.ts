import type { Server, Socket } from "node:net";
import { Fault, quoted } from "../../outcome.ts";
import { readHead } from "../../transport/http-head.ts";
import {
  encodeUpgradeRefusal,
  MAX_HEAD_BYTES,
  parseUpgradeRequest,
  UPGRADE_ANSWER,
} from "../remote/upgrade.ts";
import type { LogCopy } from "./log-copy.ts";
import { RECEIVE_BOUNDS, type ReceiveBounds, receive } from "./receive.ts";

export interface HttpReceiverBounds {
  /** How long a connection may take to send its request, in ms. */
  readonly askMs: number;
  /** Connections at once: beyond, the one that has been silent the longest goes. */
  readonly maxConnections: number;
  readonly receive: ReceiveBounds;
}

export const HTTP_RECEIVER_BOUNDS: HttpReceiverBounds = {
  askMs: 10_000,
  maxConnections: 16, // as many as the shipped nginx lets through for one certificate
  receive: RECEIVE_BOUNDS,
};

/** How long an answer may take to be read by who gets nothing else, and all of them at the end, in ms. */
const LAST_WORD_MS = 1_000;
/** Characters that are shown of a certificate's subject. */
const MAX_SUBJECT = 100;

export interface HttpReceiverOptions {
  /** Opens the copy, for each connection its own; what it throws is told to the sender. */
  readonly open: () => LogCopy;
  readonly now: () => Date;
  /** What it says of itself, a line each: what came from elsewhere is quoted in it. */
  readonly say: (line: string) => void;
  readonly bounds?: HttpReceiverBounds;
}

/**
 * The receiver behind a web server: each connection asks to be upgraded, and is then served as one over SSH is, many at a time
 * ({@link receive}). Who may connect, and what its certificate is to be, is the web server's affair, and that of the socket's
 * permissions.
 */
export class HttpReceiver {
  readonly #options: HttpReceiverOptions;
  readonly #bounds: HttpReceiverBounds;
  /** When each was last heard, the longest ago first. */
  readonly #heard = new Map<Socket, number>();
  readonly #serving = new Set<Promise<void>>();

  constructor(options: HttpReceiverOptions) {
    this.#options = options;
    this.#bounds = options.bounds ?? HTTP_RECEIVER_BOUNDS;
  }

  /** Serves the connections of `server`, which MUST allow half-open ones. */
  serve(server: Server): void {
    server.on("connection", (socket: Socket) => {
      const serving = this.#serve(socket).finally(() => this.#serving.delete(serving));
      this.#serving.add(serving);
    });
  }

  /** Ends every connection, within a second: what was answered arrives. Never rejects. */
  async close(): Promise<void> {
    for (const socket of this.#heard.keys()) socket.end();
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LAST_WORD_MS);
    await Promise.race([Promise.all(this.#serving), enough]);
    clearTimeout(timer);
    for (const socket of this.#heard.keys()) socket.destroy();
  }

  async #serve(socket: Socket): Promise<void> {
    socket.on("error", () => undefined); // it closes then
    this.#admit(socket);
    const timer = setTimeout(() => socket.destroy(), this.#bounds.askMs);
    const head = await readHead(socket, MAX_HEAD_BYTES);
    clearTimeout(timer);
    if (socket.destroyed) return;
    const request = head === undefined ? 400 : parseUpgradeRequest(head);
    if (typeof request === "number") this.#refuse(socket, request);
    else await this.#receive(socket, request.certificate);
  }

  /** Lets it in; where there are too many, another one goes. */
  #admit(socket: Socket): void {
    const heard = () => {
      this.#heard.delete(socket);
      if (!socket.destroyed) this.#heard.set(socket, performance.now());
    };
    heard();
    socket.on("readable", heard);
    socket.once("close", () => this.#heard.delete(socket));
    const [silent] = this.#heard.keys();
    if (this.#heard.size <= this.#bounds.maxConnections) return;
    silent?.destroy();
    if (silent !== undefined) this.#heard.delete(silent);
  }

  /** The last word: who does not take it in time, or goes on sending, is cut off. */
  #refuse(socket: Socket, status: 400 | 426): void {
    this.#options.say(`refused a request that is none of a log's sender (${status})`);
    socket.end(encodeUpgradeRefusal(status));
    socket.resume(); // unread bytes would end it for the other side before the answer does
    const timer = setTimeout(() => socket.destroy(), LAST_WORD_MS);
    socket.once("close", () => clearTimeout(timer));
  }

  async #receive(socket: Socket, certificate: string | undefined): Promise<void> {
    const { open, now, say } = this.#options;
    const who = certificate === undefined ? "a sender" : quoted(certificate, MAX_SUBJECT);
    say(`${who}: connected`);
    socket.write(UPGRADE_ANSWER);
    try {
      const refused = await receive({
        open,
        now,
        source: socket,
        sink: socket,
        bounds: this.#bounds.receive,
      });
      say(refused === undefined ? `${who}: ended` : `${who}: ${refused.code}: ${refused.reason}`);
    } catch (error) {
      say(
        `${who}: ${error instanceof Fault ? `${error.code}: ${error.message}` : `internal: ${quoted(String(error), 300)}`}`,
      );
    } finally {
      socket.destroy();
    }
  }
}
