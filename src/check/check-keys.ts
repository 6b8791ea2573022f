import { describeConfiguredKey, loadKey } from "../cli/open-host.ts";
import type { Config } from "../config/config.ts";
import type { KeyFacts } from "../keys/signing-key.ts";
import { Fault } from "../outcome.ts";
import { describeKey } from "../status.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";

/** An administrator hears of a key's end this long before it, in ms: time to reach who keeps the primary key. */
const WARN_BEFORE_EXPIRY_MS = 42 * 86_400_000;

/** Whether each key can be read and is fit to sign, and for how long. */
export async function checkKeys(config: Config, now: Date): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const [name, { passphraseCredential }] of config.keys) {
    try {
      // With its secret, where signing needs no credential: a passphrase would be found by the next request.
      const key =
        passphraseCredential === undefined
          ? await loadKey(config, name, now, undefined)
          : await describeConfiguredKey(config, name, now);
      findings.push(describeFinding(key, now));
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      findings.push(problem("key", error.code, error.message));
    }
    // In split mode the service manager does.
    if (passphraseCredential !== undefined && config.mode === "standalone")
      findings.push(
        problem(
          "key",
          "key-unavailable",
          `key ${name} has a passphrase_credential, and sshd provides no credentials`,
        ),
      );
  }
  return findings;
}

function describeFinding(key: KeyFacts, now: Date): Finding {
  const text = `${key.name}: ${describeKey(key, now)}`;
  if (key.problemAt(now) !== undefined) return problem("key", "key-unusable", text);
  const isSoon =
    key.expiresAt !== undefined && key.expiresAt.getTime() - now.getTime() < WARN_BEFORE_EXPIRY_MS;
  return isSoon ? warning("key", `${text}: extend it, and publish the extended key`) : ok("key", text);
}
