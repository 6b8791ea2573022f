import type { Rule } from "../policy/rule.ts";
import type { KeyName } from "../request/request.ts";

/** Where the configuration is unless `--config` says otherwise. */
export const DEFAULT_CONFIG_FILE = "/etc/signer/signer.toml";

/** The whole configuration, checked: what the administrator wrote, with every default filled in. */
export interface Config {
  /** Identity of this log: first line of every checkpoint (C2SP tlog-checkpoint). */
  readonly origin: string;
  /** The domain of the notations in each signature (RFC 9580 §5.2.3.24). */
  readonly notationDomain: string;
  /** Absolute path of the folder that holds ledger, log and log key. */
  readonly stateDirectory: string;
  readonly keys: ReadonlyMap<KeyName, KeySource>;
  /** In file order: the first that fits decides. */
  readonly rules: readonly Rule[];
  /** How long the same request gets the stored signature again. */
  readonly reissueWindowMs: number;
  readonly deadlines: Deadlines;
  /** File that the operational journal is appended to; undefined: none is kept. */
  readonly journalFile: string | undefined;
}

/** How long a client may take to send its file. */
export interface Deadlines {
  /** Without a byte. */
  readonly idleMs: number;
  /** From the first to the last byte. */
  readonly totalMs: number;
}

/** One `[keys.NAME]`. */
export interface KeySource {
  /** Absolute path of an OpenPGP secret key file. */
  readonly file: string;
  /** Name of the file in $CREDENTIALS_DIRECTORY that holds the passphrase; undefined: the key has none. */
  readonly passphraseCredential: string | undefined;
}
