import { quoted, type Refusal, refusal } from "../../outcome.ts";
import { parseRequester, type Requester } from "../../request/request.ts";

/** Where the name of who asks can come from. */
export interface RequesterSources {
  /** `SUDO_USER`: who called sudo, as sudo says it; a caller cannot choose it. */
  readonly sudoUser: string | undefined;
  /** `--for WHO`. */
  readonly option: string | undefined;
  /** `SIGNER_FOR`. */
  readonly environment: string | undefined;
}

/**
 * Who asks, for the signing host's log. Under sudo it is who called sudo, and nobody can say otherwise; else the option, else
 * the environment; undefined where nothing is said (then the client's configuration decides). A refusal for a name that the
 * signing host would not take.
 */
export function chooseRequester({
  sudoUser,
  option,
  environment,
}: RequesterSources): Requester | undefined | Refusal {
  const said = option ?? environment;
  const wanted = said === undefined ? undefined : parseRequester(said);
  if (said !== undefined && wanted === undefined)
    return refusal(
      "bad-request",
      `expected WHO of A-Z, a-z, 0-9, @, ., _, + and -, at most 64, not ${quoted(said)}`,
    );
  const caller = sudoUser === undefined ? undefined : parseRequester(sudoUser);
  if (caller === undefined) return wanted;
  if (wanted !== undefined && wanted !== caller)
    return refusal("bad-request", `expected ${caller}, who called sudo, not ${wanted}`);
  return caller;
}
