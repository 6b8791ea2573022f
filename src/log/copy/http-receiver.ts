import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import { Fault, quoted } from "../../outcome.ts";
import {
  encodeUpgradeRefusal,
  judgeUpgradeRequest,
  MAX_HEAD_BYTES,
  UPGRADE_ANSWER,
} from "../remote/upgrade.ts";
import type { LogCopy } from "./log-copy.ts";
import { RECEIVE_BOUNDS, type ReceiveBounds, receive } from "./receive.ts";

export interface HttpReceiverBounds {
  /** How long a connection may take to send its request, in ms, and up to a tenth more: so often is looked. */
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
  /** For who says where to listen. */
  readonly server: Server;
  readonly #options: HttpReceiverOptions;
  readonly #bounds: HttpReceiverBounds;
  /** All that are open, the one that was heard the longest ago first. */
  readonly #heard = new Set<Socket>();
  /** Who has had an answer, or is served: nothing more that node:http sees of it counts. */
  readonly #answered = new WeakSet<Socket>();
  readonly #serving = new Set<Promise<void>>();

  constructor(options: HttpReceiverOptions) {
    this.#options = options;
    this.#bounds = options.bounds ?? HTTP_RECEIVER_BOUNDS;
    const { askMs } = this.#bounds;
    this.server = createServer({
      maxHeaderSize: MAX_HEAD_BYTES,
      headersTimeout: askMs,
      requestTimeout: askMs,
      connectionsCheckingInterval: askMs / 10,
      insecureHTTPParser: false,
      requireHostHeader: false, // it is not required of upgrades, and is looked at here for all
    });
    this.server.on("connection", (socket) => this.#admit(socket));
    const onUpgrade = (request: IncomingMessage, _: unknown, head: Buffer) => this.#upgrade(request, head);
    this.server.on("upgrade", onUpgrade);
    this.server.on("connect", onUpgrade);
    const onRequest = (request: IncomingMessage) => {
      const judged = judgeUpgradeRequest(request);
      this.#refuse(request.socket, typeof judged === "number" ? judged : 426);
    };
    this.server.on("request", onRequest);
    this.server.on("checkContinue", onRequest);
    this.server.on("checkExpectation", onRequest);
    this.server.on("clientError", (error, socket) => this.#fail(error, socket as Socket));
  }

  /** Listens no more, and ends every connection, within a second: what was answered arrives. Never rejects. */
  async close(): Promise<void> {
    this.server.close();
    for (const socket of this.#heard) socket.end();
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LAST_WORD_MS);
    await Promise.race([Promise.all(this.#serving), enough]);
    clearTimeout(timer);
    for (const socket of this.#heard) socket.destroy();
  }

  /** Lets it in; where there are too many, another one goes. */
  #admit(socket: Socket): void {
    socket.on("error", () => undefined); // it closes then
    this.#heard.add(socket);
    socket.once("close", () => this.#heard.delete(socket));
    const [silent] = this.#heard;
    if (this.#heard.size <= this.#bounds.maxConnections) return;
    silent?.destroy();
    if (silent !== undefined) this.#heard.delete(silent);
  }

  #upgrade(request: IncomingMessage, head: Buffer): void {
    const { socket } = request;
    const judged = judgeUpgradeRequest(request);
    if (typeof judged === "number") {
      this.#refuse(socket, judged);
      return;
    }
    if (this.#answered.has(socket) || socket.destroyed) return;
    this.#answered.add(socket);
    if (head.length > 0) socket.unshift(head);
    const heard = () => {
      this.#heard.delete(socket);
      if (!socket.destroyed) this.#heard.add(socket);
    };
    socket.on("readable", heard);
    const serving = this.#receive(socket, judged.certificate).finally(() => this.#serving.delete(serving));
    this.#serving.add(serving);
  }

  /** What it sent is no HTTP/1.1; or it has sent too little for too long, or is gone. */
  #fail(error: Error, socket: Socket): void {
    if ("code" in error && String(error.code).startsWith("HPE_")) this.#refuse(socket, 400);
    else socket.destroy();
  }

  /** The last word: who does not take it in time, or goes on sending, is cut off. */
  #refuse(socket: Socket, status: 400 | 426): void {
    if (this.#answered.has(socket) || socket.destroyed) return;
    this.#answered.add(socket);
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
