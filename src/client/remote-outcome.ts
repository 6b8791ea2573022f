import { type Code, EXIT, Fault, isRefusalCode, quoted, type Refusal, refusal } from "../outcome.ts";
import type { RemoteResult } from "./signing-host.ts";

/** Longest reason that is shown, in characters. */
const MAX_REASON_CHARACTERS = 1000;
/** What `outcomeLine` of the host writes. */
const LINE = /^signer: (?<code>[a-z-]{1,40}): (?<reason>[\x20-\x7e]{1,4000})$/;

/**
 * Why the host did not do as asked, from its exit status, which is not 0, and the last line on stderr of the form
 * `signer: CODE: reason`: lines before it are a banner's or ssh's. Code and status MUST belong together.
 * @throws Fault with the host's own code; `host-unreachable` where it is no signing host's answer; Error where it says `internal`
 */
export function remoteRefusal({ stderr, exitStatus }: RemoteResult): Refusal {
  const line = stderr
    .trimEnd()
    .split("\n")
    .findLast((text) => LINE.test(text));
  const { code = "", reason = "" } = LINE.exec(line ?? "")?.groups ?? {};
  if (!Object.hasOwn(EXIT, code) || EXIT[code as keyof typeof EXIT] !== exitStatus)
    throw new Fault(
      "host-unreachable",
      `expected a signing host's answer, not exit status ${exitStatus} and ${quoted(stderr.trim(), 200)}`,
    );
  return refusalOf(code as Code, reason);
}

/**
 * Why the host did not sign, in its own words.
 * @throws Fault with its own code; Error where it says `internal`
 */
export function refusalOf(code: Code, reason: string): Refusal {
  const shown = reason.slice(0, MAX_REASON_CHARACTERS);
  if (isRefusalCode(code)) return refusal(code, shown);
  if (code === "internal") throw new Error(`the signing host failed: ${shown}`);
  throw new Fault(code, shown);
}
