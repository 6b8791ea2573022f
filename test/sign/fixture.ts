import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { Answer } from "../../src/accept.ts";
import { accept } from "../../src/accept.ts";
import { loadKey } from "../../src/cli/open-host.ts";
import type { Config } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/parse-config.ts";
import { NO_JOURNAL } from "../../src/journal.ts";
import { subkeysOnly } from "../../src/keys/key-export.ts";
import { generateKey } from "../../src/keys/key-generation.ts";
import { Ledger } from "../../src/log/ledger.ts";
import type { LogEntry } from "../../src/log/log-entry.ts";
import { RemoteLogs } from "../../src/log/remote/remote-logs.ts";
import { Fault } from "../../src/outcome.ts";
import { parseAddress } from "../../src/request/peer.ts";
import type { SigningHost } from "../../src/sign.ts";
import type { Cleanup } from "../support/cleanup.ts";
import { configText, ORIGIN, readLog } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

/** When the logs of these tests begin. */
export const START = new Date("2026-11-23T12:00:00.000Z");
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A signing host in this process, at a time that the test sets. */
export interface HostInProcess {
  readonly host: SigningHost;
  readonly config: Config;
  readonly stateDirectory: string;
  /** What `now` says; the test sets it. */
  readonly clock: { now: Date };
  /** Puts other rules in force, as an administrator would between two requests. */
  configure(rules: string): void;
  /** Puts another key into the key's file. */
  replaceKey(): Promise<void>;
  /** One call of client `repos` from 192.0.2.10, or as told. */
  call(command: string | undefined, bytes: Uint8Array | Readable, client?: string): Promise<Answer>;
  /** The same as one word: `signed SEQ`, `reissued SEQ`, the refusal's code or `fault CODE`. */
  outcome(command: string | undefined, bytes: Uint8Array, client?: string): Promise<string>;
  /** All entries; throws where the log does not verify. */
  entries(): readonly LogEntry[];
  kinds(): readonly string[];
}

export interface HostOptions {
  readonly rules?: string;
  readonly settings?: string;
  /** When the key stops being valid. */
  readonly keyExpires?: Date;
  readonly now?: Date;
  /** Where to make it; a temporary folder where left out. */
  readonly folder?: string;
}

/** Makes one with a key and a log of its own; its clock stands at {@link START}. */
export async function makeHost(cleanup: Cleanup, options: HostOptions = {}): Promise<HostInProcess> {
  const { keyExpires, now = START, folder = await tempDir(cleanup), ...settings } = options;
  const stateDirectory = join(folder, "state");
  const keyFile = join(folder, "repo.key");
  const userId = "Repository signing key <signer@signer.example.org>";
  const made = new Date("2020-01-01T00:00:00Z");
  const replaceKey = async () => {
    const key = await generateKey({ userId, now: made, expires: keyExpires });
    writeFileSync(keyFile, await subkeysOnly(key.armoredSecretKey), { mode: 0o600 });
  };
  await replaceKey();
  const read = (rules?: string) =>
    parseConfig(
      configText({ stateDirectory, keyFile, ...settings, ...(rules === undefined ? {} : { rules }) }),
    );

  let config = read();
  const clock = { now };
  const ledger = Ledger.create(stateDirectory, { origin: ORIGIN, now });
  cleanup.add(() => ledger.close());
  const host = (): SigningHost => ({
    config,
    ledger,
    remoteLogs: new RemoteLogs([], NO_JOURNAL),
    journal: NO_JOURNAL,
    now: () => clock.now,
    loadKey: (name) => loadKey(config, name, clock.now, undefined),
  });
  const address = parseAddress("192.0.2.10");
  const call: HostInProcess["call"] = (command, bytes, client = "repos") => {
    const source = bytes instanceof Readable ? bytes : Readable.from([Buffer.from(bytes)]);
    return accept(host(), { client, command, peer: address && { address, sshKey: undefined } }, source);
  };
  return {
    get host() {
      return host();
    },
    get config() {
      return config;
    },
    stateDirectory,
    clock,
    configure: (rules) => {
      config = read(rules);
    },
    replaceKey,
    call,
    outcome: async (command, bytes, client) => {
      try {
        const answer = await call(command, bytes, client);
        if (answer.kind === "refusal") return answer.code;
        if (answer.kind === "text" || answer.kind === "batch") return answer.kind;
        const { kind, seq } = answer.receipt.entry;
        return `${kind} ${seq}`;
      } catch (error) {
        if (error instanceof Fault) return `fault ${error.code}`;
        throw error;
      }
    },
    entries: () => readLog(stateDirectory),
    kinds: () => readLog(stateDirectory).map(({ kind }) => kind),
  };
}
