/** A part of a log contradicts the rest: how checks of {@link verifyLog} end. Never leaves it. */
export class Contradiction extends Error {
  /** The entry it is about; undefined where it is about none. */
  readonly seq: number | undefined;

  /** `what` is one line, lower case, a stranger's text in it only quoted. */
  constructor(seq: number | undefined, what: string) {
    super(what);
    this.name = "Contradiction";
    this.seq = seq;
  }
}
