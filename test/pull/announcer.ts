import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rename, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArtefactName } from "../../src/artefact/artefact-name.ts";
import { parseHostKey } from "../../src/config/setting.ts";
import { type AnswerKind, answerName, parseInboxName, parseNotSigned } from "../../src/exchange/answer.ts";
import { type AnnouncedFile, encodeNotification } from "../../src/exchange/notification.ts";
import { parseFileName, parseRequester } from "../../src/request/request.ts";
import type { Cleanup } from "../support/cleanup.ts";
import { runOk } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";

/** A file for the outbox. */
export interface Offered {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly for?: string;
}

/** What a repository server says, with a key of its own: SSH signatures are ssh-keygen's. */
export interface Announcer {
  /** As signer.toml has it, and its blob. */
  readonly publicKey: string;
  readonly blob: Uint8Array;
  /** A document of these requests. */
  document(options: AnnouncementOptions): Promise<Buffer>;
  /** Signs any line, as a notification or for something else. */
  sign(line: string, namespace?: string): Promise<string>;
}

export interface AnnouncementOptions {
  readonly seq: number;
  readonly requests?: readonly AnnouncedFile[];
  readonly time?: Date;
}

export async function makeAnnouncer(cleanup: Cleanup): Promise<Announcer> {
  const folder = await tempDir(cleanup);
  const file = join(folder, "notification");
  await runOk("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "notifications", "-f", file]);
  const publicKey = (await readFile(`${file}.pub`, "utf8")).trim();
  const sign = async (line: string, namespace = "notification@signer") =>
    (
      await runOk("ssh-keygen", ["-q", "-Y", "sign", "-f", file, "-n", namespace], { stdin: line })
    ).toString();
  return {
    publicKey,
    blob: parseHostKey(publicKey)?.blob ?? new Uint8Array(),
    sign,
    document: async ({ seq, requests = [], time = new Date() }) => {
      const line = encodeNotification({ seq, time, requests });
      return Buffer.from(`${line}${await sign(line)}`);
    },
  };
}

/** A request for a file. */
export function announced(seq: number, { name, bytes, for: who }: Offered): AnnouncedFile {
  const fileName = parseFileName(name);
  const type = parseArtefactName(name)?.type;
  if (fileName === undefined || type === undefined) throw new Error(`no name of an artefact: ${name}`);
  return {
    seq,
    name: fileName,
    type,
    size: bytes.byteLength,
    sha256: hash("sha256", bytes, "hex"),
    for: who === undefined ? undefined : parseRequester(who),
  };
}

/** The folder of a repository server, and what its wrapper does in it: numbers are counted on. */
export class ServerFolder {
  readonly outbox: string;
  readonly inbox: string;
  readonly #announcer: Announcer;
  #seq: number;
  #mtimeSeconds = Math.floor(Date.now() / 1000) - 100_000;

  constructor(folder: string, announcer: Announcer, firstSeq = 1000) {
    this.outbox = join(folder, "outbox");
    this.inbox = join(folder, "inbox");
    this.#announcer = announcer;
    this.#seq = firstSeq;
  }

  /** Puts files there and announces them, and no others. Their requests. */
  async offer(
    files: readonly Offered[],
    options: Partial<AnnouncementOptions> = {},
  ): Promise<readonly AnnouncedFile[]> {
    const requests = files.map((file) => announced(this.#next(), file));
    for (const [index, request] of requests.entries())
      await writeFile(join(this.outbox, request.sha256), files[index]?.bytes ?? "", { mode: 0o644 });
    await this.announce(requests, options);
    return requests;
  }

  /** Announces these requests, under the next number where none is given. */
  async announce(
    requests: readonly AnnouncedFile[],
    options: Partial<AnnouncementOptions> = {},
  ): Promise<number> {
    const seq = options.seq ?? this.#next();
    await this.show(await this.#announcer.document({ seq, requests, ...options }));
    return seq;
  }

  /** Puts a document in the notification's place, a second newer than the last. */
  async show(document: Uint8Array): Promise<void> {
    const file = join(this.outbox, "notification");
    this.#mtimeSeconds += 1;
    await writeFile(`${file}.new`, document, { mode: 0o644 });
    await utimes(`${file}.new`, this.#mtimeSeconds, this.#mtimeSeconds);
    await rename(`${file}.new`, file);
  }

  /** What is in the inbox for a request. */
  answer(request: AnnouncedFile): { readonly kind: AnswerKind; readonly content: Buffer } | undefined {
    for (const kind of ["sig", "refused"] as const) {
      try {
        return { kind, content: readFileSync(join(this.inbox, answerName(request, kind))) };
      } catch {
        // perhaps the other one
      }
    }
    return undefined;
  }

  /** `sig`, the code of a refusal, or `none`. */
  answerCode(request: AnnouncedFile): string {
    const answer = this.answer(request);
    if (answer === undefined) return "none";
    return answer.kind === "sig" ? "sig" : (parseNotSigned(answer.content)?.code ?? "malformed");
  }

  /** Whole answers, by name; uploads that were left lying do not count. */
  async answers(): Promise<readonly string[]> {
    const names = await readdir(this.inbox);
    return names.filter((name) => parseInboxName(name)?.kind !== "part").toSorted();
  }

  #next(): number {
    this.#seq += 1;
    return this.#seq;
  }
}

/** Makes outbox and inbox for a server that is no other process. */
export async function makeServerFolder(cleanup: Cleanup, announcer: Announcer): Promise<ServerFolder> {
  const folder = await tempDir(cleanup);
  await mkdir(join(folder, "outbox"));
  await mkdir(join(folder, "inbox"));
  return new ServerFolder(folder, announcer);
}

/** Its mtime, as an ETag has it. */
export async function mtimeOf(file: string): Promise<number> {
  return (await stat(file)).mtimeMs;
}
