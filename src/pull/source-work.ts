import { hash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { PullSource } from "../config/config.ts";
import { encodeNotSigned } from "../exchange/answer.ts";
import type { AnnouncedFile, Notification } from "../exchange/notification.ts";
import { type Code, Fault, isRefusal, quoted, type Refusal, type RefusalCode, refusal } from "../outcome.ts";
import { encodeSize } from "../policy/quantity.ts";
import type { Peer } from "../request/peer.ts";
import { BackOff, jittered } from "./back-off.ts";
import { type Judgement, judgeNotification, type NotificationRefusal } from "./judgement.ts";
import { type Answer, type PendingRequest, Requests } from "./requests.ts";
import type { Signing } from "./signing.ts";
import type { SourceMemory } from "./source-memory.ts";
import type { SourceServer } from "./source-server.ts";
import { withRefused } from "./source-state.ts";
import { Spool } from "./spool.ts";

/** A notification that differs from this clock by more is worth a line, in ms; the log has its own rule for clocks. */
const CLOCK_TOLERANCE_MS = 3_600_000;
/** After news a question out of turn waits so long, in ms: a server with news each time would else be asked without end. */
const AFTER_NEWS_MS = 1_000;

/** Asked once, a download that breaks is tried so often: a server that gives an octet each time is not worth more. */
const MOST_ROUNDS = 100;

/**
 * Refusals that another attempt may not meet. `bad-request` is one: the command is well-formed, so that the service speaks
 * another version of the relay's protocol.
 */
const AGAIN: ReadonlySet<RefusalCode> = new Set(["timed-out", "bad-request"]);

/** What the work on one source is done with. */
export interface SourceParts {
  readonly source: PullSource;
  readonly server: SourceServer;
  readonly signing: Signing;
  readonly memory: SourceMemory;
  /** For the journal: what goes wrong, and goes well again; a line each. */
  readonly say: (line: string) => void;
  /** A request was answered; a line each. */
  readonly done: (line: string) => void;
  readonly now: () => Date;
}

/** How work is ended: begin nothing more, and drop what waits for the server; then drop everything. */
export interface Ending {
  readonly soon: AbortSignal;
  readonly now: AbortSignal;
}

class TryAgain extends Error {
  readonly code: RefusalCode;

  constructor({ code, reason }: Refusal) {
    super(reason);
    this.code = code;
  }
}

/** All that is done for one source, one thing after the other. */
export class SourceWork {
  readonly #parts: SourceParts;
  readonly #sshKey: string;
  readonly #spool: Spool;
  readonly #requests: Requests;
  readonly #pollBackOff: BackOff;
  /** The notification whose requests are worked on; undefined: none since the start. */
  #current: Notification | undefined;
  /** Of the last document that there is nothing more to do about. */
  #etag: string | undefined;
  /** What stands in the notification's place, where that is none that is taken. */
  #bad: (Judgement & { readonly kind: "bad" }) | undefined;
  #pollAtMs = 0;
  /** When a question out of turn may come. */
  #soonestPollMs = 0;
  /** Something has failed that may be the server's, which is asked before anything else is tried. */
  #isInDoubt = false;
  /** Since when the server does not answer. */
  #awaySince: Date | undefined;
  /** Why the last answer of it could not be dealt with, as the journal has it. */
  #trouble: string | undefined;
  #hasNotedClock = false;

  constructor(parts: SourceParts) {
    const { source, memory } = parts;
    this.#parts = parts;
    this.#sshKey = `SHA256:${hash("sha256", source.notificationKey, "base64").replace(/=+$/, "")}`;
    this.#spool = new Spool(memory.folder, source.name);
    this.#requests = new Requests(source.maxBackOffMs);
    this.#pollBackOff = new BackOff(Math.max(source.maxBackOffMs, source.pollMs), { firstMs: source.pollMs });
  }

  /** Works until it is ended. */
  async run(ending: Ending): Promise<void> {
    while (!ending.soon.aborted) {
      const nowMs = performance.now();
      const request = this.#isServing ? this.#requests.ready(nowMs) : undefined;
      if (nowMs >= this.#pollAtMs) await this.#pollAndSay(ending);
      else if (request !== undefined) await this.#attempt(request, ending);
      else await this.#wait(nowMs, ending.soon);
    }
  }

  /** Asks once, and tries each request, those again that went on. What was in the way of anything; undefined: nothing. */
  async once(ending: Ending): Promise<Code | undefined> {
    const failed = await this.#pollAndSay(ending);
    if (failed !== undefined) return failed;
    let first: Code | undefined = this.#bad?.refusal.code;
    let todo = this.#requests.open;
    for (let round = 0; todo.length > 0; round += 1) {
      if (round === MOST_ROUNDS) {
        for (const request of todo)
          this.#complain(request, `source-unavailable: the download broke ${MOST_ROUNDS} times`);
        return first ?? "source-unavailable";
      }
      const again: PendingRequest[] = [];
      for (const request of todo) {
        if (ending.soon.aborted) return "busy";
        if (!this.#requests.open.includes(request)) continue; // no longer asked for
        const outcome = await this.#attempt(request, ending);
        if (outcome?.wentOn) again.push(request);
        else first ??= outcome?.code;
        // Where it is not this file, but the server, the others need not each find that out.
        if (outcome?.code !== "source-unavailable") continue;
        const away = await this.#pollAndSay(ending);
        if (away !== undefined) return first ?? away;
      }
      todo = again;
    }
    return first;
  }

  /** Asks for the notification and deals with it; what was in the way of that, which is in the journal. */
  async #pollAndSay(ending: Ending): Promise<Code | undefined> {
    const { source, say } = this.#parts;
    try {
      await this.#poll(ending);
      this.#pollBackOff.reset();
      this.#pollAtMs = performance.now() + jittered(source.pollMs, Math.random());
      if (this.#trouble !== undefined) say("goes on");
      this.#trouble = undefined;
      return undefined;
    } catch (error) {
      this.#pollAtMs = performance.now() + this.#pollBackOff.next();
      if (ending.soon.aborted) return "busy";
      const text = textOf(error);
      if (this.#awaySince === undefined && text !== this.#trouble) {
        say(text);
        this.#trouble = text;
      }
      return codeOf(error);
    }
  }

  async #poll(ending: Ending): Promise<void> {
    const { server } = this.#parts;
    const answer = await this.#ask(() => server.notification(this.#etag, ending.soon), ending.soon);
    switch (answer.kind) {
      case "unchanged":
        return;
      case "none":
        this.#bad = undefined;
        this.#current = undefined;
        this.#etag = undefined; // should the same one be there again, it has to be read again
        this.#take([]);
        return;
      case "document":
        await this.#judge(answer.document, ending);
        this.#etag = answer.etag;
    }
  }

  /** The journal hears of a server that is away once, and once more when it is back. */
  async #ask<T>(question: () => Promise<T>, soon: AbortSignal): Promise<T> {
    const { say, now } = this.#parts;
    try {
      const answer = await question();
      if (this.#awaySince !== undefined)
        say(`the server answers again; it was away since ${time(this.#awaySince)}`);
      this.#awaySince = undefined;
      return answer;
    } catch (error) {
      if (this.#awaySince === undefined && !soon.aborted) {
        say(textOf(error));
        this.#awaySince = now();
      }
      throw error;
    } finally {
      this.#isInDoubt = false;
    }
  }

  async #judge(document: Uint8Array, ending: Ending): Promise<void> {
    const { source, memory, say } = this.#parts;
    const judged = judgeNotification(document, source.notificationKey, memory.state);
    if (judged.kind !== "bad") this.#bad = undefined;
    switch (judged.kind) {
      case "news": {
        const { notification, sha256 } = judged;
        const { seq, requests } = notification;
        // Before anything is done about it: what was seen once is never forgotten.
        memory.remember({ ...memory.state, newest: { seq, sha256, settled: requests.length === 0 } });
        this.#soonestPollMs = performance.now() + Math.min(AFTER_NEWS_MS, source.pollMs);
        this.#noteClock(notification);
        this.#begin(notification);
        return;
      }
      case "known":
        if (this.#current?.seq !== judged.notification.seq) this.#begin(judged.notification);
        return;
      case "bad":
        if (!judged.isLogged) await this.#log(judged.refusal, judged.sha256, ending);
        if (this.#bad?.sha256 !== judged.sha256) say(`${judged.refusal.code}: ${judged.refusal.reason}`);
        this.#bad = judged;
    }
  }

  #begin(notification: Notification): void {
    this.#current = notification;
    this.#take(this.#parts.memory.state.newest?.settled === true ? [] : notification.requests);
  }

  /** Of requests that are there no more, nothing is kept. */
  #take(requests: readonly AnnouncedFile[]): void {
    this.#requests.take(requests);
    this.#spool.keepOnly(requests);
    this.#settle();
  }

  /** Logged first, remembered then: killed in between, it is logged twice, and never not at all. */
  async #log(refused: NotificationRefusal, sha256: string, ending: Ending): Promise<void> {
    const { memory, signing } = this.#parts;
    await signing.report(refused, this.#peer(), ending.now);
    memory.remember(withRefused(memory.state, sha256));
  }

  /** One attempt at a request. Where it failed: why, and whether it came further than the one before. */
  async #attempt(
    request: PendingRequest,
    ending: Ending,
  ): Promise<{ readonly code: Code; readonly wentOn: boolean } | undefined> {
    const { file, backOff } = request;
    const before = this.#spool.size(file);
    try {
      await this.#answer(request, ending);
      return undefined;
    } catch (error) {
      if (ending.soon.aborted) return { code: "busy", wentOn: false };
      const code = codeOf(error);
      // A connection that breaks now and then has every file come in the end.
      const wentOn = code === "source-unavailable" && this.#spool.size(file) > before;
      if (wentOn) backOff.reset();
      request.readyAtMs = performance.now() + backOff.next();
      if (code === "source-unavailable") {
        this.#isInDoubt = true; // is it the server, or this file?
        this.#pollAtMs = Math.min(this.#pollAtMs, this.#soonestPollMs);
      }
      if (!wentOn) this.#complain(request, textOf(error));
      return { code, wentOn };
    }
  }

  /** Whether the server is there, as far as is known. */
  get #isServing(): boolean {
    return this.#awaySince === undefined && !this.#isInDoubt;
  }

  /** Says what is wrong with a request, where that is something else than before. */
  #complain(request: PendingRequest, text: string): void {
    if (text !== request.problem) this.#parts.say(`${shown(request.file)}: ${text}`);
    request.problem = text;
  }

  /** Has a request answered, by whatever is still missing for that. */
  async #answer(request: PendingRequest, { soon, now }: Ending): Promise<void> {
    const { server, done } = this.#parts;
    const { file } = request;
    if (request.answer === undefined) {
      if ((await server.answered(file, soon)) !== undefined) {
        this.#close(request);
        done(`${shown(file)}: answered before`);
        return;
      }
      request.answer = await this.#decide(file, { soon, now });
    }
    const { kind, content, text } = request.answer;
    const uploaded = await server.upload(file, kind, content, now);
    this.#close(request);
    done(`${shown(file)}: ${text}${uploaded === "taken" ? "; the answer that was there before stays" : ""}`);
  }

  async #decide(file: AnnouncedFile, ending: Ending): Promise<Answer> {
    const { source } = this.#parts;
    const outcome = file.size > source.maxBytes ? tooLarge(source) : await this.#sign(file, ending);
    if (!isRefusal(outcome)) return { kind: "sig", content: outcome, text: "signed" };
    if (AGAIN.has(outcome.code)) throw new TryAgain(outcome);
    const { code, reason } = outcome;
    return {
      kind: "refused",
      content: Buffer.from(encodeNotSigned(outcome)),
      text: `refused: ${code}: ${reason}`,
    };
  }

  async #sign(file: AnnouncedFile, { soon, now }: Ending): Promise<Uint8Array | Refusal> {
    const { server, signing } = this.#parts;
    await this.#spool.fetch(file, (from) => server.download(file, from, soon));
    return await signing.sign(file, this.#peer(), this.#spool.read(file), now);
  }

  #close(request: PendingRequest): void {
    request.isAnswered = true;
    request.answer = undefined;
    request.problem = undefined;
    this.#spool.remove(request.file);
    this.#settle();
  }

  /** Remembers that there is nothing left to do for the newest notification. */
  #settle(): void {
    const { memory } = this.#parts;
    const { newest } = memory.state;
    if (newest === undefined || newest.settled || newest.seq !== this.#current?.seq) return;
    if (this.#requests.open.length > 0) return;
    memory.remember({ ...memory.state, newest: { ...newest, settled: true } });
  }

  /** Where its connection leads to, and by which key its requests are known: what an entry has of who asked. */
  #peer(): Peer {
    const { address } = this.#parts.server;
    if (address === undefined) throw new Fault("source-unavailable", "there was no connection to the server");
    return { address, sshKey: this.#sshKey };
  }

  /** Of one that says "nothing", the time is when that was so first. */
  #noteClock({ time: made, requests }: Notification): void {
    const aheadMs = made.getTime() - this.#parts.now().getTime();
    const isOff = aheadMs > CLOCK_TOLERANCE_MS || (aheadMs < -CLOCK_TOLERANCE_MS && requests.length > 0);
    if (isOff && !this.#hasNotedClock)
      this.#parts.say(
        `a notification is of ${time(made)}, by its server's clock: one of the clocks may be wrong`,
      );
    if (requests.length > 0 || isOff) this.#hasNotedClock = isOff;
  }

  async #wait(nowMs: number, soon: AbortSignal): Promise<void> {
    const readyAtMs = this.#isServing ? this.#requests.readyAtMs : Number.POSITIVE_INFINITY;
    const ms = Math.max(1, Math.min(this.#pollAtMs, readyAtMs) - nowMs);
    await sleep(ms, undefined, { signal: soon }).catch(() => undefined); // it is ended
  }
}

function tooLarge({ maxBytes }: Pick<PullSource, "maxBytes">): Refusal {
  return refusal("too-large", `expected at most ${encodeSize(maxBytes)}, the max_size of the source`);
}

function codeOf(error: unknown): Code {
  return error instanceof Fault || error instanceof TryAgain ? error.code : "internal";
}

function textOf(error: unknown): string {
  const code = codeOf(error);
  return `${code}: ${code === "internal" ? quoted(String(error), 500) : (error as Error).message}`;
}

function shown({ name, seq }: Pick<AnnouncedFile, "name" | "seq">): string {
  return `${name} (request ${seq})`;
}

/** Seconds are enough. */
function time(date: Date): string {
  return date.toISOString().replace(/\.\d{3}Z$/, "Z");
}
