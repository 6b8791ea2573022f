import { Fault } from "../../outcome.ts";

/** The Faults of remote logs, worded alike: a client reads them, so nothing in them is the other side's but quoted text. */

/** It could not be reached, or said nothing in time. `what` is one line, lower case, without a full stop. */
export function noAnswer(name: string, what: string, cause?: unknown): Fault {
  return new Fault("remote-log-unavailable", `the remote log ${name} did not answer: ${what}`, { cause });
}

/** It said what no honest one says, or what only another one would. */
export function wrongAnswer(name: string, what: string, cause?: unknown): Fault {
  return new Fault("remote-log-unavailable", `the remote log ${name} did not answer as expected: ${what}`, {
    cause,
  });
}

/** What the other side said beside the protocol: `cause` of a Fault, so that the journal and `signer check` have it. */
export class OtherSideSaid extends Error {
  /** @param text went through `quoted` */
  constructor(text: string) {
    super(`it said ${text}`);
    this.name = "OtherSideSaid";
  }
}
