import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import type { Config, Mode } from "../config/config.ts";
import { readConfigFile } from "../config/config-file.ts";
import { configTemplate } from "../config/config-template.ts";
import { ConfigFault, parseConfig } from "../config/parse-config.ts";
import { subkeysOnly } from "../keys/key-export.ts";
import { generateKey } from "../keys/key-generation.ts";
import { Ledger } from "../log/ledger.ts";
import { stateKind } from "../log/log-file.ts";
import { LOG_KEY_FILE } from "../log/log-key.ts";
import { encodeVerifierKey } from "../log/signed-note.ts";
import { Fault, quoted } from "../outcome.ts";
import { describeKey, describeUserId } from "../status.ts";
import { authorizedKeysLine } from "./authorized-keys.ts";
import { describeConfiguredKey } from "./open-host.ts";
import { primaryKeyFile, revocationFile } from "./primary-key.ts";

export interface InitOptions {
  readonly config: string;
  /** For a new configuration: identity of the log. */
  readonly origin?: string;
  /** For a new configuration: who signs. */
  readonly mode: Mode;
  /** For a new configuration: the state directory. */
  readonly state: string;
  /** For a new OpenPGP key: `Name <mail@example.org>`. */
  readonly userId?: string;
  /** For a new OpenPGP key: `YYYY-MM-DD`. */
  readonly keyExpires?: string;
  /** The account that signs: keys and state are made its own. For root. */
  readonly owner?: string;
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Prints one line for a person. */
type Print = (line: string) => void;

/**
 * `signer init`: makes whatever the configuration names and is not there yet, the configuration included. What is there is
 * left as it is. Returns the exit status.
 */
export async function initCommand(options: InitOptions, print: Print): Promise<number> {
  const owner = options.owner === undefined ? undefined : lookUpOwner(options.owner);
  const config = ensureConfig(options, print);
  for (const [name, { file, passphraseCredential }] of config.keys) {
    if (existsSync(file)) print(`found      key ${name}: ${file}`);
    else if (passphraseCredential === undefined) await makeKey(config, name, file, options, owner, print);
    else
      throw new Fault(
        "key-unavailable",
        `${file} is missing, and a key with a passphrase is not made here: use gpg`,
      );
  }
  ensureState(config, print);
  await describe(config, options.config, owner, print);
  return 0;
}

function ensureConfig(options: InitOptions, print: Print): Config {
  const file = options.config;
  if (existsSync(file)) {
    print(`found      configuration ${file}`);
    const config = readConfigFile(file);
    if (options.origin !== undefined && options.origin !== config.origin)
      print(`           its origin is ${config.origin}: --origin is for a new configuration`);
    return config;
  }
  const text = configTemplate({
    origin: options.origin ?? defaultOrigin(),
    mode: options.mode,
    stateDirectory: options.state,
    keyFile: join(dirname(file), "repo.key"),
    journalFile: join(options.state, "journal.jsonl"),
  });
  checkTemplate(text);
  makeFolderForAll(dirname(file));
  writeFileSync(file, text, { flag: "wx", flush: true });
  chmodSync(file, 0o644);
  print(`made       configuration ${file}: edit its rules`);
  return readConfigFile(file);
}

/** A new configuration is right, or is not written: what can be wrong in it came from the command line. */
function checkTemplate(text: string): void {
  try {
    parseConfig(text);
  } catch (error) {
    if (!(error instanceof ConfigFault)) throw error;
    throw new Fault("bad-configuration", `--origin, --state: ${error.problems.join("; ")}`, { cause: error });
  }
}

/**
 * Makes a folder that the account that signs can enter, though root owns it: the umask of this program (0077) is not meant
 * for it. What is there stays as it is.
 */
function makeFolderForAll(folder: string): void {
  const umask = process.umask(0o022);
  try {
    mkdirSync(folder, { recursive: true });
  } finally {
    process.umask(umask);
  }
}

function defaultOrigin(): string {
  const name = hostname();
  if (/^[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+$/.test(name)) return `${name}/repo`;
  throw new Fault(
    "bad-configuration",
    `this host's name ${quoted(name)} has no domain: name the log with --origin, such as --origin signer.example.org/repo`,
  );
}

async function makeKey(
  config: Config,
  name: string,
  file: string,
  options: InitOptions,
  owner: Owner | undefined,
  print: Print,
): Promise<void> {
  const userId = options.userId ?? `Repository signing key <signer@${config.notationDomain}>`;
  const key = await generateKey({ userId, now: new Date(), expires: parseDate(options.keyExpires) });
  makeFolderForAll(dirname(file));
  // The primary first: a key that signs and can never be extended would be the worse half to be left with.
  writeNew(primaryKeyFile(file), key.armoredSecretKey, owner);
  writeNew(revocationFile(file), key.armoredRevocation, owner);
  writeNew(file, await subkeysOnly(key.armoredSecretKey), owner);
  print(`made       key ${name}: ${file}, the signing subkey alone`);
  print(`made       ${primaryKeyFile(file)}, the certify-only primary key, and ${revocationFile(file)}:`);
  print(
    "           move both to a medium that stays offline, and delete them here; the host signs without them",
  );
}

function parseDate(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const date = /^\d{4}-\d{2}-\d{2}$/.test(text) ? new Date(`${text}T00:00:00Z`) : new Date(Number.NaN);
  if (Number.isNaN(date.getTime()))
    throw new Fault("bad-configuration", "--key-expires: expected a date such as 2028-12-31");
  return date;
}

function writeNew(file: string, text: string, owner: Owner | undefined): void {
  try {
    writeFileSync(file, text, { flag: "wx", mode: 0o600, flush: true });
    if (owner !== undefined) chownSync(file, owner.uid, owner.gid);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Fault(
      "key-unavailable",
      `${file} cannot be made (${code}): move away what is there, or choose another file`,
      {
        cause,
      },
    );
  }
}

function ensureState(config: Config, print: Print): void {
  const { stateDirectory, origin } = config;
  if (stateKind(stateDirectory) === "log") {
    Ledger.open(stateDirectory, { origin }).close();
    print(`found      log in ${stateDirectory}`);
    return;
  }
  Ledger.create(stateDirectory, { origin, now: new Date() }).close();
  print(`made       log ${origin} and its log key in ${stateDirectory}`);
  print(
    `           keep a backup of ${join(stateDirectory, LOG_KEY_FILE)} offline: no copy of the log holds it`,
  );
}

/** An account as id(1) knows it: the name service is the machine's business. */
function lookUpOwner(account: string): Owner {
  if (!/^[a-z_][a-z0-9_-]{0,31}$/.test(account))
    throw new Fault("bad-configuration", "--owner: expected an account name");
  try {
    const [uid, gid] = ["-u", "-g"].map((flag) =>
      Number(execFileSync("/usr/bin/id", [flag, account], { encoding: "utf8", stdio: "pipe" })),
    );
    if (uid === undefined || gid === undefined) throw new Error("id printed nothing");
    return { uid, gid };
  } catch (cause) {
    throw new Fault("bad-configuration", `--owner: there is no account ${account}`, { cause });
  }
}

async function describe(
  config: Config,
  configFile: string,
  owner: Owner | undefined,
  print: Print,
): Promise<void> {
  const now = new Date();
  print("");
  for (const name of config.keys.keys()) {
    const key = await describeConfiguredKey(config, name, now);
    print(`key ${name}    ${describeUserId(key)}`);
    print(`            fingerprint  ${key.primaryFingerprint}`);
    print(`            signs with   ${describeKey(key, now)}`);
  }
  const ledger = Ledger.open(config.stateDirectory, { origin: config.origin });
  print(`log key     ${encodeVerifierKey(ledger.verifier)}`);
  ledger.close();
  // What opening both has made belongs to the account that signs.
  if (owner !== undefined) giveAway(config.stateDirectory, owner);
  print("");
  print(
    config.mode === "split"
      ? "authorized_keys of each client's account, signer-CLIENT, one line for its client:"
      : "authorized_keys of the account that signs, one line for each client:",
  );
  for (const client of new Set(config.rules.map((rule) => rule.client))) {
    const ranges = config.rules.filter((rule) => rule.client === client).flatMap((rule) => rule.from ?? []);
    print(authorizedKeysLine(client, ranges, configFile));
  }
  print("");
  print("next: signer check");
}

/**
 * What this account has made in a folder becomes the owner's. Where the folder was theirs before, made when the program was installed
 * for instance, they could have put links into it, and root would follow them: then only what is root's own, by its descriptor.
 */
function giveAway(directory: string, owner: Owner): void {
  if (statSync(directory).uid !== process.geteuid?.()) {
    for (const entry of readdirSync(directory)) giveOwn(join(directory, entry), owner);
    return;
  }
  for (const entry of readdirSync(directory, { recursive: true, encoding: "utf8" }))
    chownSync(join(directory, entry), owner.uid, owner.gid);
  chownSync(directory, owner.uid, owner.gid);
}

/** A file with no other name, or a folder and what is in it, where it is this account's. Follows nothing. */
function giveOwn(path: string, owner: Owner): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.uid !== process.geteuid?.()) return;
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return; // a link or a socket, and none of ours
  }
  try {
    const stat = fstatSync(file);
    if (stat.uid !== process.geteuid?.()) return;
    const inside = `/proc/self/fd/${file}`;
    if (stat.isDirectory()) for (const entry of readdirSync(inside)) giveOwn(join(inside, entry), owner);
    else if (!stat.isFile() || stat.nlink !== 1) return;
    fchownSync(file, owner.uid, owner.gid);
  } finally {
    closeSync(file);
  }
}
