import { randomBytes } from "node:crypto";
import type { OutgoingHttpHeaders } from "node:http";
import type { PullSource } from "../config/config.ts";
import {
  type Answered,
  type AnswerKind,
  answerName,
  MAX_ANSWER_BYTES,
  uploadName,
} from "../exchange/answer.ts";
import { type AnnouncedFile, MAX_NOTIFICATION_BYTES } from "../exchange/notification.ts";
import { type Fault, quoted } from "../outcome.ts";
import type { Address } from "../request/peer.ts";
import { type MutualTlsPeer, peerFault, withoutBrackets } from "../transport/mutual-tls-connection.ts";
import { type Answer, Exchange, KeptConnection, type Question } from "./https-exchange.ts";
import type { NotificationAnswer, SourceServer } from "./source-server.ts";
import { describeUnexpected } from "./unexpected-status.ts";

/** What of a `[[sources]]` the connection needs. */
export type HttpsSourceSettings = Pick<
  PullSource,
  "url" | "caFile" | "crlFile" | "certificateFile" | "keyFile" | "timeoutMs" | "proxy"
>;

/** Largest body of an answer that says all in its head, in bytes; nginx's error pages have about 150. */
const MAX_IGNORED_BYTES = 16 * 1024;
/** Downloads of which the version is remembered. */
const MAX_REMEMBERED = 64;

/**
 * A repository server over HTTPS (docs/PULL.md): HTTP/1.1 on one connection of mutual TLS 1.3, which is kept between questions.
 * Nothing is read beyond what is expected, no redirect is followed, and an answer that is not one of a server with the shipped
 * configuration is a Fault that says what to look at.
 */
export class HttpsSource implements SourceServer {
  readonly #peer: MutualTlsPeer;
  readonly #base: string;
  /** Host header. */
  readonly #authority: string;
  readonly #connection: KeptConnection;
  /** The versions of files that are half fetched, by digest. */
  readonly #versions = new Map<string, string>();

  constructor(settings: HttpsSourceSettings) {
    const url = new URL(settings.url);
    this.#peer = {
      ...settings,
      role: "the repository server",
      code: "source-unavailable",
      host: withoutBrackets(url.hostname),
      port: url.port === "" ? 443 : Number(url.port),
    };
    this.#base = url.pathname.replace(/\/$/, "");
    this.#authority = url.host;
    this.#connection = new KeptConnection(this.#peer);
  }

  get address(): Address | undefined {
    return this.#connection.address;
  }

  close(): void {
    this.#connection.destroy();
  }

  async notification(etag: string | undefined, signal: AbortSignal): Promise<NotificationAnswer> {
    const known = etag === undefined ? {} : { "If-None-Match": etag };
    return this.#ask("GET", "outbox/notification", { headers: known, signal }).run(async (answer) => {
      const { status } = answer;
      if (status === 304 && etag !== undefined) {
        await ignoreBody(answer);
        return { kind: "unchanged" };
      }
      if (status === 404) {
        await ignoreBody(answer);
        return { kind: "none" };
      }
      if (status !== 200) throw this.#unexpected(answer);
      const length = this.#length(answer);
      const document = await answer.read(Math.min(length, MAX_NOTIFICATION_BYTES + 1));
      return { kind: "document", document, etag: answer.etag };
    });
  }

  async *download(file: AnnouncedFile, from: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const { sha256, size } = file;
    if (!Number.isSafeInteger(from) || from < 0 || from >= size)
      throw new RangeError(`nothing of ${size} bytes is left from ${from}`);
    const known = this.#versions.get(sha256);
    const range =
      from === 0 ? {} : { Range: `bytes=${from}-`, ...(known === undefined ? {} : { "If-Range": known }) };
    const exchange = this.#ask("GET", `outbox/${sha256}`, { headers: range, signal });
    try {
      const answer = await exchange.answer();
      this.#checkDownload(answer, file, { from, known });
      this.#remember(sha256, answer.etag);
      yield* answer.chunks();
      this.#versions.delete(sha256);
    } finally {
      exchange.end();
    }
  }

  async answered(request: Answered, signal: AbortSignal): Promise<AnswerKind | undefined> {
    for (const kind of ["sig", "refused"] as const) {
      const name = `inbox/${answerName(request, kind)}`;
      const exchange = this.#ask("HEAD", name, { signal });
      const isThere = await exchange.run(async (answer) => {
        if (answer.status !== 200 && answer.status !== 404) throw this.#unexpected(answer);
        await ignoreBody(answer);
        return answer.status === 200;
      });
      if (isThere) return kind;
    }
    return undefined;
  }

  /** Where the connection is lost, {@link answered} says whether the answer has arrived. */
  async upload(
    request: Answered,
    kind: AnswerKind,
    content: Uint8Array,
    signal: AbortSignal,
  ): Promise<"uploaded" | "taken"> {
    if (content.byteLength > MAX_ANSWER_BYTES)
      throw new RangeError(`an answer has at most ${MAX_ANSWER_BYTES} bytes`);
    const part = `inbox/${uploadName(request, randomBytes(8).toString("hex"))}`;
    const headers = { "Content-Length": content.byteLength };
    await this.#ask("PUT", part, { headers, body: content, signal }).run(async (answer) => {
      if (answer.status !== 201 && answer.status !== 204) throw this.#unexpected(answer);
      await ignoreBody(answer);
    });
    const move = { Destination: `${this.#base}/inbox/${answerName(request, kind)}`, Overwrite: "F" };
    const status = await this.#ask("MOVE", part, { headers: move, signal }).run(async (answer) => {
      const isBusy = answer.status === 503; // somebody else's MOVE to the same name, at this moment
      if (!isBusy && ![201, 204, 412].includes(answer.status)) throw this.#unexpected(answer);
      await ignoreBody(answer);
      return answer.status;
    });
    if (status === 201 || status === 204) return "uploaded";
    if (status === 412 || (await this.answered(request, signal)) !== undefined) return "taken";
    throw this.#fault(describeUnexpected(status, undefined, this.#peer));
  }

  #ask(
    method: Question["method"],
    name: string,
    { headers, body, signal }: { headers?: OutgoingHttpHeaders; body?: Uint8Array; signal: AbortSignal },
  ): Exchange {
    return new Exchange(this.#connection, {
      method,
      path: `${this.#base}/${name}`,
      headers: { Host: this.#authority, ...headers },
      ...(body === undefined ? {} : { body }),
      signal,
    });
  }

  /** The answer is what was asked for: these bytes, of a file of this size, of the version that the first ones are of. */
  #checkDownload(
    answer: Answer,
    { sha256, size }: AnnouncedFile,
    { from, known }: { readonly from: number; readonly known: string | undefined },
  ): void {
    const { status, etag } = answer;
    const changed = (what: string) => {
      this.#versions.delete(sha256); // or it would never be asked for again without
      return this.#fault(`has another file than it announced: ${what}`);
    };
    if (status === 404)
      throw this.#fault("does not have the file that it announced: it is withdrawn, or was never there");
    if (status === 200 && from > 0) throw changed("it sends all of it, asked for the rest");
    if (status === 416) throw changed("it ends before what was asked for");
    if (status !== (from === 0 ? 200 : 206)) throw this.#unexpected(answer);
    if (known !== undefined && from > 0 && etag !== known)
      throw changed("it is not the one that it began with");
    const length = this.#length(answer);
    if (length !== size - from) throw changed(`it sends ${length} bytes, of ${size - from}`);
    const range = answer.header("content-range");
    if (from > 0 && range !== `bytes ${from}-${size - 1}/${size}`)
      throw changed(`it sends ${quoted(range ?? "")} of ${size} bytes from ${from} on`);
  }

  #length(answer: Answer): number {
    if (answer.header("transfer-encoding") !== undefined || answer.header("content-encoding") !== undefined)
      throw this.#fault("sends an answer in pieces, or compressed: nginx is not configured as shipped");
    const length = answer.header("content-length");
    if (length === undefined || !/^\d{1,15}$/.test(length))
      throw this.#fault("does not say how long its answer is: nginx is not configured as shipped");
    return Number(length);
  }

  #remember(sha256: string, etag: string | undefined): void {
    this.#versions.delete(sha256);
    if (etag === undefined || etag.startsWith("W/")) return; // RFC 9110 §13.1.5: a weak one says nothing of bytes
    this.#versions.set(sha256, etag);
    const [oldest] = this.#versions.keys();
    if (this.#versions.size > MAX_REMEMBERED && oldest !== undefined) this.#versions.delete(oldest);
  }

  #unexpected(answer: Answer): Fault {
    return this.#fault(describeUnexpected(answer.status, answer.header("location"), this.#peer));
  }

  #fault(what: string, cause?: unknown): Fault {
    return peerFault(this.#peer, what, cause);
  }
}

async function ignoreBody(answer: Answer): Promise<void> {
  await answer.read(MAX_IGNORED_BYTES);
}
