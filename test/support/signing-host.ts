import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LogEntry } from "../../src/log/log-entry.ts";
import { parseLogEntry } from "../../src/log/log-entry.ts";
import { LogReader } from "../../src/log/log-reader.ts";
import { verifyLog } from "../../src/log/verify.ts";
import type { Cleanup } from "./cleanup.ts";
import { type Ended, type RunOptions, run, runOk } from "./run.ts";
import { startSshd } from "./sshd.ts";
import { tempDir } from "./temp-dir.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** The launchers under test. */
export const SIGNER = join(ROOT, "bin", "signer");
export const SIGNER_LOG = join(ROOT, "bin", "signer-log");

export const ORIGIN = "signer.example.org/repo";

/** Rules of one client, `repos`, for databases and images without limits: for tests that are about something else. */
export const ANY_RULES = ["db", "files", "iso"].map((type) => rule({ id: `any-${type}`, type })).join("");

/** One `[[rules]]` in TOML; client `repos` and key `repo` unless told otherwise. */
export function rule(
  settings: Readonly<Record<string, string | number | boolean | readonly string[]>>,
): string {
  const all = { client: "repos", key: "repo", ...settings };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
  return `[[rules]]\n${lines.join("\n")}\n\n`;
}

export interface SigningHostOptions {
  /** `[[rules]]` in TOML; {@link ANY_RULES} where left out. */
  readonly rules?: string;
  /** Further lines at the top of the configuration, such as `deadlines = { idle = "1 s" }`. */
  readonly settings?: string;
}

/** What sshd would hand over for a call. */
export interface AcceptCall extends RunOptions {
  /** SSH_ORIGINAL_COMMAND; not set where left out. */
  readonly command?: string;
  /** `repos` where left out. */
  readonly client?: string;
  /** The address in SSH_CONNECTION; 127.0.0.1 where left out. */
  readonly address?: string;
}

/** A signing host as `signer init` makes it, in a folder of its own. */
export interface SigningHostUnderTest {
  readonly folder: string;
  readonly configFile: string;
  readonly stateDirectory: string;
  readonly keyFile: string;
  /** The armored public key that `signer key export` prints; of several, the one of that name. */
  publicKey(name?: string): Promise<string>;
  /** Runs `bin/signer --config … ARGS`. */
  signer(args: readonly string[], options?: RunOptions): Promise<Ended>;
  /** Runs `bin/signer accept` as sshd would, without sshd. */
  accept(call?: AcceptCall): Promise<Ended>;
  /** The same, left to the test: nothing is written to it. */
  startAccept(call?: Omit<AcceptCall, "stdin">): ChildProcessWithoutNullStreams;
  /** All entries of the log, oldest first; throws where the log does not verify. */
  entries(): readonly LogEntry[];
  /** The same, without those that every log begins with (`started`, `configured`). */
  requests(): readonly LogEntry[];
}

/** Writes a configuration and runs `signer init`. */
export async function makeSigningHost(
  cleanup: Cleanup,
  options: SigningHostOptions = {},
): Promise<SigningHostUnderTest> {
  const folder = await tempDir(cleanup);
  const configFile = join(folder, "signer.toml");
  const stateDirectory = join(folder, "state");
  const keyFile = join(folder, "repo.key");
  await writeFile(configFile, configText({ stateDirectory, keyFile, ...options }));
  const signer = (args: readonly string[], options: RunOptions = {}) =>
    run(SIGNER, ["--config", configFile, ...args], options);
  await runOk(SIGNER, ["--config", configFile, "init"]);
  return {
    folder,
    configFile,
    stateDirectory,
    keyFile,
    publicKey: async (name) => {
      const args = ["--config", configFile, "key", "export", ...(name === undefined ? [] : [name])];
      return (await runOk(SIGNER, args)).toString();
    },
    signer,
    accept: (call = {}) =>
      run(SIGNER, acceptArgs(configFile, call), { ...call, env: acceptEnvironment(call) }),
    startAccept: (call = {}) =>
      spawn(SIGNER, acceptArgs(configFile, call), { env: acceptEnvironment(call), stdio: "pipe" }),
    entries: () => readLog(stateDirectory),
    requests: () => readLog(stateDirectory).filter(({ kind }) => kind !== "started" && kind !== "configured"),
  };
}

/** A configuration with one key, `repo`. */
export function configText(options: {
  readonly stateDirectory: string;
  readonly keyFile: string;
  readonly rules?: string;
  readonly settings?: string;
}): string {
  const { stateDirectory, keyFile, rules = ANY_RULES, settings = "" } = options;
  return `origin = "${ORIGIN}"
state = "${stateDirectory}"
${settings}

[keys.repo]
file = "${keyFile}"

${rules}`;
}

function acceptArgs(configFile: string, { client = "repos" }: AcceptCall): readonly string[] {
  return ["accept", "--client", client, "--config", configFile];
}

function acceptEnvironment({ command, address = "127.0.0.1", env = {} }: AcceptCall): NodeJS.ProcessEnv {
  return {
    PATH: "/usr/bin:/bin",
    SSH_CONNECTION: `${address} 40000 127.0.0.1 22`,
    ...(command === undefined ? {} : { SSH_ORIGINAL_COMMAND: command }),
    ...env,
  };
}

/** The entries of a log that verifies. */
export function readLog(stateDirectory: string): readonly LogEntry[] {
  const reader = LogReader.open(stateDirectory);
  try {
    const result = verifyLog(reader, { verifier: reader.statedVerifier() });
    if (result.kind === "broken")
      throw new Error(`the log is broken at ${result.seq ?? "-"}: ${result.what}`);
    return [...reader.search({})].flatMap((line) => parseLogEntry(line) ?? []);
  } finally {
    reader.close();
  }
}

/** A signing host behind a private sshd. */
export interface SshSigner {
  /** `ssh signer COMMAND < stdin`, as one of the clients; the first where left out. */
  ssh(
    command?: string,
    options?: RunOptions & { readonly client?: string; readonly sshArgs?: readonly string[] },
  ): Promise<Ended>;
  /** `ssh signer NAME < bytes`. */
  sign(name: string | undefined, bytes: Uint8Array): Promise<Ended>;
  /** For `ssh -F CONFIG signer …` of scripts, as the first client. */
  readonly clientConfig: string;
  /** What sshd said so far. */
  sshdLog(): Promise<string>;
}

/**
 * Starts sshd with the line of the shipped authorized_keys.example filled in for each client: the words as they stand there, the
 * address, path, client's name and key replaced.
 */
export async function serveOverSsh(
  cleanup: Cleanup,
  host: SigningHostUnderTest,
  clients: readonly [string, ...string[]] = ["repos"],
): Promise<SshSigner> {
  const [first, ...others] = clients;
  const example = await readFile(join(ROOT, "authorized_keys.example"), "utf8");
  const keys = await tempDir(cleanup);
  const publicKeys = new Map<string, string>();
  for (const client of others) {
    await runOk("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", join(keys, client)]);
    publicKeys.set(client, (await readFile(join(keys, `${client}.pub`), "utf8")).trim());
  }
  const server = await startSshd(cleanup, {
    authorizedKeys: (publicKey) =>
      [[first, publicKey] as const, ...publicKeys]
        .map(([client, key]) => authorizedKeysLine(example, client, key, host.configFile))
        .join(""),
  });
  return {
    ssh: (command, { client = first, sshArgs = [], ...options } = {}) => {
      const identity = client === first ? [] : ["-i", join(keys, client)];
      return server.ssh(command, { ...options, sshArgs: [...identity, ...sshArgs] });
    },
    sign: (name, bytes) => server.ssh(name, { stdin: bytes }),
    clientConfig: server.clientConfig,
    sshdLog: () => server.log(),
  };
}

/** The example's line for one client of this machine. */
export function authorizedKeysLine(
  example: string,
  client: string,
  publicKey: string,
  configFile: string,
): string {
  const line = example.split("\n").find((text) => text !== "" && !text.startsWith("#")) ?? "";
  const filledIn = line
    .replace(/from="[^"]*"/, 'from="127.0.0.1"')
    .replace("/usr/bin/signer ", `${SIGNER} --config ${configFile} `)
    .replace("--client repos", `--client ${client}`)
    .replace(/ssh-ed25519 .*$/, publicKey);
  if (!filledIn.includes(SIGNER) || !filledIn.includes(publicKey)) throw new Error(`unexpected: ${line}`);
  return `${filledIn}\n`;
}

/** The code on the one line that stderr is, `signer: CODE: …`; throws for more lines, or another. */
export function codeOf({ stderr }: Pick<Ended, "stderr">): string {
  const code = /^signer: (?<code>[a-z-]+): [\x20-\x7e]+\n$/.exec(stderr)?.groups?.["code"];
  if (code === undefined) throw new Error(`expected one line of printable ASCII: ${JSON.stringify(stderr)}`);
  return code;
}

/** How a call ended, for comparison: its code (or `signed`), its exit status, the bytes on stdout where it was refused. */
export function outcome(ended: Ended): string {
  if (ended.status === 0) {
    if (ended.stderr !== "" || ended.stdout.length === 0) throw new Error(`not silent: ${ended.stderr}`);
    return "signed";
  }
  if (ended.stdout.length > 0) throw new Error(`${ended.stdout.length} bytes on stdout beside a failure`);
  return `${codeOf(ended)} ${ended.status}`;
}

/** What a program that the test has started said until it ended. */
export async function collect(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  const [status, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return {
    status: status ?? undefined,
    signal: signal ?? undefined,
    stdout: Buffer.concat(stdout),
    stderr: Buffer.concat(stderr).toString(),
  };
}

/** Sends what is left, and waits for the end. A program that stops reading early is no error. */
export function finish(child: ChildProcessWithoutNullStreams, last: Uint8Array): Promise<Ended> {
  const ended = collect(child);
  child.stdin.on("error", () => undefined);
  child.stdin.end(last);
  return ended;
}
