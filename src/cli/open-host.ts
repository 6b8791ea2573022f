import { join } from "node:path";
import type { Config } from "../config/config.ts";
import type { Journal } from "../journal.ts";
import { describeKeyFile, loadKeyFile } from "../keys/key-file.ts";
import type { KeyFacts, SigningKey } from "../keys/signing-key.ts";
import type { Ledger } from "../log/ledger.ts";
import type { RemoteLogs } from "../log/remote/remote-logs.ts";
import { Fault } from "../outcome.ts";
import type { KeyName } from "../request/request.ts";
import type { SigningHost } from "../sign.ts";

/** Folder of the state directory where examinations of key files are kept; public facts only. */
export const KEY_CACHE_DIRECTORY = "key-cache";

/** Puts together what a request meets. */
export function openHost(
  config: Config,
  ledger: Ledger,
  remoteLogs: RemoteLogs,
  journal: Journal,
  credentialsDirectory: string | undefined,
): SigningHost {
  const now = () => new Date();
  return {
    config,
    ledger,
    remoteLogs,
    journal,
    now,
    loadKey: (name) => loadKey(config, name, now(), credentialsDirectory),
  };
}

/** The key of a configured name. Fault `key-unavailable` where it cannot be read. */
export async function loadKey(
  config: Config,
  name: KeyName,
  now: Date,
  credentialsDirectory: string | undefined,
): Promise<SigningKey> {
  const { passphraseCredential, ...place } = placeOf(config, name);
  const passphraseFile =
    passphraseCredential === undefined || credentialsDirectory === undefined
      ? undefined
      : join(credentialsDirectory, passphraseCredential);
  return await loadKeyFile({ ...place, passphraseFile, now });
}

/** What is known about it, its secret left alone: no passphrase is needed. Fault `key-unavailable` where it cannot be read. */
export async function describeConfiguredKey(config: Config, name: KeyName, now: Date): Promise<KeyFacts> {
  return await describeKeyFile({ ...placeOf(config, name), now });
}

function placeOf(config: Config, name: KeyName) {
  const source = config.keys.get(name);
  if (source === undefined)
    throw new Fault("bad-configuration", `there is no key ${name} in the configuration`);
  return { ...source, name, cacheDirectory: join(config.stateDirectory, KEY_CACHE_DIRECTORY) };
}
