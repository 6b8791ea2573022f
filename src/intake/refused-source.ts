import type { Refusal } from "../outcome.ts";

/** A stream of a request's bytes fails with this where it cannot go on: the request is refused as it says. */
export class RefusedSource extends Error {
  readonly refusal: Refusal;

  constructor(refused: Refusal) {
    super(refused.reason);
    this.name = "RefusedSource";
    this.refusal = refused;
  }
}
