import { parseArtefactName } from "../artefact/artefact-name.ts";
import type { AnnouncedFile } from "../exchange/notification.ts";
import { MAX_REQUESTS } from "../exchange/notification.ts";
import { InboxWatch, readAnswer } from "../outbox/inbox.ts";
import { noAnswer } from "../outbox/no-answer.ts";
import { type Asked, Outbox } from "../outbox/outbox.ts";
import { copyIntoOutbox, type OutboxCopy } from "../outbox/outbox-copy.ts";
import { openPullFolder, type PullFolder } from "../outbox/pull-folder.ts";
import { Fault, isRefusal, quoted, type Refusal, refusal } from "../outcome.ts";
import { repositoryFault } from "../repository/repository-fault.ts";
import type { PullClientConfig } from "./client-config.ts";
import type { PinnedCertificates } from "./pinned-certificates.ts";
import { refusalOf } from "./remote-outcome.ts";
import { counting, type SentBytes } from "./sent-file.ts";
import type { SignOptions } from "./sign-files.ts";
import { notGood, signatureObjection } from "./verification.ts";

/**
 * Has sources signed by a signing host that fetches its work: copies them into the outbox, announces them, and waits for the answers
 * in the inbox, each verified over the bytes that were copied. However it ends, the outbox is as if nothing had been asked; what a
 * killed process leaves there the next one clears up.
 *
 * A test plays the signing host without a web server: it reads `outbox/notification`, and puts what `answerName` names into `inbox`,
 * whole, by a rename or link: the signature, or the text of `encodeNotSigned`. `signFiles` with `via: "pull"` leads here.
 * @returns signatures in the order of the sources; the first refusal; Fault `host-unreachable` as a value where no answer came in time
 * @throws Fault `signing-failed` where what came is no good signature; `busy` where too much waits; `bad-configuration`,
 *   `repository-failed` where folder or key do not serve; the signing host's own
 */
export async function askByPull(
  config: PullClientConfig,
  sources: readonly SentBytes[],
  certificates: PinnedCertificates,
  options: SignOptions,
): Promise<readonly Uint8Array[] | Refusal | Fault> {
  const { signal } = options;
  if (sources.length > MAX_REQUESTS)
    return refusal("bad-request", `expected at most ${MAX_REQUESTS} files at once`);
  const copies: OutboxCopy[] = [];
  try {
    const folder = openPullFolder(config.pull.folder);
    const outbox = new Outbox(folder, config.pull.keyFile);
    await outbox.clearUp(signal); // before copying: what was left may be large
    const requestedAt = new Date();
    const asked = await copyAll(folder, sources, copies, options);
    if (isRefusal(asked)) return asked;
    const { timeoutMs } = config.pull;
    const requests = await outbox.announce(asked, timeoutMs, signal);
    let isAnswered = false;
    try {
      const answers = await collect(folder, requests, {
        sources,
        certificates,
        requestedAt,
        timeoutMs,
        signal,
      });
      isAnswered = true;
      return answers;
    } finally {
      await withdraw(outbox, requests, isAnswered, options);
    }
  } catch (error) {
    throw repositoryFault(error);
  } finally {
    for (const copy of copies) copy.discard();
  }
}

/** Copies all sources; each copy is in `copies` as soon as it is there. */
async function copyAll(
  folder: PullFolder,
  sources: readonly SentBytes[],
  copies: OutboxCopy[],
  options: SignOptions,
): Promise<readonly Asked[] | Refusal> {
  const asked: Asked[] = [];
  const total = sources.reduce((sum, { size }) => sum + (size ?? Number.NaN), 0);
  let sent = 0;
  for (const source of sources) {
    const { name } = source;
    const type = name === undefined ? undefined : parseArtefactName(name)?.type;
    if (name === undefined || type === undefined)
      return refusal(
        "bad-request",
        `with pull, expected the name of a database or an image, not ${name === undefined ? "none" : quoted(name)}`,
      );
    const size = Number.isNaN(total) ? undefined : total;
    const content = counting(source.content(), size, options, (bytes) => (sent += bytes));
    const copy = await copyIntoOutbox(folder, content, options.signal);
    if (isRefusal(copy)) return refusal(copy.code, `${name}: ${copy.reason}`);
    copies.push(copy);
    asked.push({ name, type, for: options.for, copy });
  }
  return asked;
}

interface Waiting {
  readonly sources: readonly SentBytes[];
  readonly certificates: PinnedCertificates;
  readonly requestedAt: Date;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Waits for all answers, or the first that is no signature. */
async function collect(
  folder: PullFolder,
  requests: readonly AnnouncedFile[],
  waiting: Waiting,
): Promise<readonly Uint8Array[] | Refusal | Fault> {
  const watch = new InboxWatch(folder);
  const signatures = new Map<number, Uint8Array>();
  const deadline = performance.now() + waiting.timeoutMs;
  try {
    for (;;) {
      for (const [index, request] of requests.entries()) {
        if (signatures.has(index)) continue;
        const answer = await answerTo(folder, request, waiting.sources[index], waiting);
        if (isRefusal(answer)) return answer;
        if (answer !== undefined) signatures.set(index, answer);
      }
      if (signatures.size === requests.length)
        return requests.map((_, index) => signatures.get(index) as Uint8Array);
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) {
        const open = requests.filter((_, index) => !signatures.has(index));
        return noAnswer(folder, open, waiting.timeoutMs, Date.now());
      }
      await watch.news(leftMs, waiting.signal);
    }
  } finally {
    watch.close();
  }
}

/** The good signature, or a no; undefined where there is no answer yet. */
async function answerTo(
  folder: PullFolder,
  request: AnnouncedFile,
  source: SentBytes | undefined,
  { certificates, requestedAt }: Waiting,
): Promise<Uint8Array | Refusal | undefined> {
  const answer = readAnswer(folder, request);
  if (answer === undefined) return undefined;
  if (answer.kind === "not-signed") return refusalOf(answer.code, answer.reason);
  if (answer.kind === "odd") throw notGood(request.name, answer.what);
  const message = source?.message;
  if (message === undefined) throw new Error("the source was not read to its end");
  const signed = { name: request.name, message, requestedAt };
  const objection = await signatureObjection(answer.bytes, signed, certificates, new Date());
  if (objection !== undefined) throw notGood(request.name, objection);
  return answer.bytes;
}

/** What is answered stays answered: where it cannot be taken back, the next run does it. */
async function withdraw(
  outbox: Outbox,
  requests: readonly AnnouncedFile[],
  isAnswered: boolean,
  { onNote }: SignOptions,
): Promise<void> {
  try {
    await outbox.withdraw(requests);
  } catch (error) {
    const why = repositoryFault(error);
    if (!(why instanceof Fault)) throw error;
    if (isAnswered) onNote?.(`the outbox is not cleared, which the next run does: ${why.message}`);
  }
}
