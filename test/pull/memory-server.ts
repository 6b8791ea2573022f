import { hash } from "node:crypto";
import type { PullSource } from "../../src/config/config.ts";
import { type Answered, type AnswerKind, answerName } from "../../src/exchange/answer.ts";
import type { AnnouncedFile } from "../../src/exchange/notification.ts";
import { Fault } from "../../src/outcome.ts";
import type { NotificationAnswer, SourceServer } from "../../src/pull/source-server.ts";
import { type Address, parseAddress } from "../../src/request/peer.ts";

/** A repository server without a network. What it is asked is noted; a test can have any question fail. */
export class MemoryServer implements SourceServer {
  /** In the notification's place; undefined: there is none. */
  document: Uint8Array | undefined;
  readonly files = new Map<string, Uint8Array>();
  readonly answers = new Map<string, Uint8Array>();
  /** `notification`, `download NAME FROM`, `answered NAME`, `upload NAME`. */
  readonly asked: string[] = [];
  /** Why a question fails; it is noted all the same. */
  fails: (question: string) => string | undefined = () => undefined;
  /** So many bytes of each download arrive before the connection breaks. */
  breaksAfter = Number.POSITIVE_INFINITY;
  isClosed = false;
  address: Address | undefined;

  async notification(etag: string | undefined, signal: AbortSignal): Promise<NotificationAnswer> {
    this.#ask("notification", signal);
    if (this.document === undefined) return { kind: "none" };
    const now = hash("sha256", this.document);
    return now === etag ? { kind: "unchanged" } : { kind: "document", document: this.document, etag: now };
  }

  async *download(file: AnnouncedFile, from: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    this.#ask(`download ${file.name} ${from}`, signal);
    const bytes = this.files.get(file.sha256);
    if (bytes === undefined) throw new Fault("source-unavailable", "it has no such file");
    const end = from + this.breaksAfter;
    for (let at = from; at < bytes.byteLength; at += 1000) {
      if (at >= end) throw new Fault("source-unavailable", "the connection broke");
      yield bytes.subarray(at, Math.min(at + 1000, end));
    }
  }

  async answered(
    request: Answered & Partial<AnnouncedFile>,
    signal: AbortSignal,
  ): Promise<AnswerKind | undefined> {
    this.#ask(`answered ${request.name}`, signal);
    return (["sig", "refused"] as const).find((kind) => this.answers.has(answerName(request, kind)));
  }

  async upload(
    request: Answered & Partial<AnnouncedFile>,
    kind: AnswerKind,
    content: Uint8Array,
    signal: AbortSignal,
  ): Promise<"uploaded" | "taken"> {
    this.#ask(`upload ${request.name}`, signal);
    const name = answerName(request, kind);
    if (this.answers.has(name)) return "taken";
    this.answers.set(name, content);
    return "uploaded";
  }

  close(): void {
    this.isClosed = true;
  }

  /** How often something was asked. */
  count(question: string): number {
    return this.asked.filter((each) => each === question).length;
  }

  #ask(question: string, signal: AbortSignal): void {
    this.asked.push(question);
    signal.throwIfAborted();
    const why = this.fails(question);
    if (why !== undefined) throw new Fault("source-unavailable", why);
    this.address = parseAddress("192.0.2.10");
  }
}

/** A source as the configuration would have it, in a hurry; its server is a {@link MemoryServer}. */
export function memorySource(notificationKey: Uint8Array): PullSource {
  return {
    name: "repos",
    url: "https://repo.example.org/signer",
    client: "repos",
    caFile: "/none",
    crlFile: undefined,
    certificateFile: "/none",
    keyFile: "/none",
    notificationKey,
    pollMs: 10,
    maxBackOffMs: 10,
    timeoutMs: 1000,
    maxBytes: 10_000,
    proxy: undefined,
  };
}
