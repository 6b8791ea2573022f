import { appendFile, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import type { Cleanup } from "./cleanup.ts";
import { makeKeptCopy } from "./kept-copy.ts";
import { type Ended, run } from "./run.ts";
import { SIGNER_LOG, type SigningHostUnderTest } from "./signing-host.ts";
import { startSshd } from "./sshd.ts";

/** A log host behind a private sshd, set up as `signer-log init` says. */
export interface LogHostUnderTest {
  /** The folder of the copy. */
  readonly directory: string;
  /** The key that the signing host logs in with. */
  readonly keyFile: string;
  /** Runs `bin/signer-log --log repo … ARGS` there. */
  signerLog(...args: readonly string[]): Promise<Ended>;
  /**
   * What runs for the next connections instead of the forced command: a line of sh, in which `$RECEIVE` is the forced
   * command. Left out: the forced command.
   */
  runs(command?: string): Promise<void>;
}

/**
 * Makes the copy of a signing host's log, starts sshd for it, and appends the `[[remote_log]]` that `init` prints to the signing
 * host's configuration, with what only an administrator knows filled in.
 */
export async function startLogHost(
  cleanup: Cleanup,
  host: SigningHostUnderTest,
  options: { readonly name?: string; readonly required?: boolean; readonly timeout?: string } = {},
): Promise<LogHostUnderTest> {
  const { name = "loghost", required = true, timeout = "10 s" } = options;
  const { folder, here, said } = await makeKeptCopy(cleanup, host, name);
  const line = /^restrict,.*$/m.exec(said)?.[0] ?? "";
  const receive = /command="(?<command>[^"]+)"/.exec(line)?.groups?.["command"] ?? "";
  const command = join(folder, "forced-command");
  const runs = (instead = "exec $RECEIVE") =>
    writeFile(command, `RECEIVE="${receive.replace("/usr/bin/signer-log", SIGNER_LOG)}"\n${instead}\n`);
  await runs();
  const server = await startSshd(cleanup, {
    authorizedKeys: (publicKey) =>
      line
        .replace("ADDRESS", "127.0.0.1")
        .replace(receive, `/bin/sh ${command}`)
        .replace(/ssh-ed25519 .*$/, `${publicKey}\n`),
  });
  const filledIn = said
    .slice(said.indexOf("[[remote_log]]"), said.indexOf("required ="))
    .replace(/^name = .*$/m, `name = "${name}"`)
    .replace(/^host = .*$/m, `host = "127.0.0.1"\nport = ${server.port}`)
    .replace(/^user = .*$/m, `user = "${userInfo().username}"`)
    .replace(/^key = .*$/m, `key = "${server.identity}"`)
    .replace(/^host_key = .*$/m, `host_key = "${server.hostKey}"`);
  await appendFile(host.configFile, `\n${filledIn}required = ${required}\ntimeout = "${timeout}"\n`);
  return {
    directory: join(folder, "repo"),
    keyFile: server.identity,
    signerLog: (...args) => run(SIGNER_LOG, [...here, ...args]),
    runs,
  };
}
