import { isDeepStrictEqual } from "node:util";
import type { AnswerKind } from "../exchange/answer.ts";
import type { AnnouncedFile } from "../exchange/notification.ts";
import { BackOff } from "./back-off.ts";

/** What is to be uploaded for a request. */
export interface Answer {
  readonly kind: AnswerKind;
  readonly content: Uint8Array;
  /** The same for people. */
  readonly text: string;
}

/** A request of the newest notification, and how far it has come. */
export interface PendingRequest {
  readonly file: AnnouncedFile;
  readonly backOff: BackOff;
  /** When it may be tried again, on the clock of `performance.now()`. */
  readyAtMs: number;
  /** Undefined: it is not decided yet. */
  answer: Answer | undefined;
  isAnswered: boolean;
  /** What went wrong last, as the journal has it; undefined: nothing did. */
  problem: string | undefined;
}

/** The requests of the newest notification: at most as many as one may have. */
export class Requests {
  readonly #maxBackOffMs: number;
  #pending: ReadonlyMap<number, PendingRequest> = new Map();

  constructor(maxBackOffMs: number) {
    this.#maxBackOffMs = maxBackOffMs;
  }

  /** Takes those of another notification: what is known of one that is still there stays, the others are forgotten. */
  take(files: readonly AnnouncedFile[]): void {
    this.#pending = new Map(files.map((file) => [file.seq, this.#keptOrNew(file)]));
  }

  /** Those that are not answered, in the order of their numbers. */
  get open(): readonly PendingRequest[] {
    return [...this.#pending.values()].filter(({ isAnswered }) => !isAnswered);
  }

  /** The next one that may be tried; undefined: there is none yet. */
  ready(nowMs: number): PendingRequest | undefined {
    return this.open.find(({ readyAtMs }) => readyAtMs <= nowMs);
  }

  /** When the next one may be tried; infinity: there is none. */
  get readyAtMs(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.open.map(({ readyAtMs }) => readyAtMs));
  }

  #keptOrNew(file: AnnouncedFile): PendingRequest {
    const known = this.#pending.get(file.seq);
    if (known !== undefined && isDeepStrictEqual(known.file, file)) return known;
    return {
      file,
      backOff: new BackOff(this.#maxBackOffMs),
      readyAtMs: 0,
      answer: undefined,
      isAnswered: false,
      problem: undefined,
    };
  }
}
