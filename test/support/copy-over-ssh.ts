import { appendFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import type { Cleanup } from "./cleanup.ts";
import { runOk } from "./run.ts";
import { SIGNER_LOG, type SigningHostUnderTest } from "./signing-host.ts";
import { startSshd } from "./sshd.ts";
import { tempDir } from "./temp-dir.ts";

/** A real log host on this machine: sshd, the forced command, a copy. */
export interface CopyOverSsh {
  /** The folder of the copy. */
  readonly directory: string;
  /** The witness's key, C2SP form. */
  readonly witness: string;
  /** A signing host's `[[remote_log]]`. */
  readonly table: string;
}

/** The name that signing hosts know it by. */
export const LOG_HOST = "loghost";

/** Makes a log host for a signing host, and adds it to that one's configuration. */
export async function addCopyOverSsh(
  cleanup: Cleanup,
  host: SigningHostUnderTest,
  { required = true, name = LOG_HOST } = {},
): Promise<CopyOverSsh> {
  const copies = await tempDir(cleanup);
  const verifier = (await runOk(SIGNER_LOG, ["--config", host.configFile, "key"])).toString().trim();
  const place = ["--log", "repo", "--copies", copies];
  const args = ["init", ...place, "--verifier", verifier, "--witness", `${name}.example.org/repo`];
  const made = (await runOk(SIGNER_LOG, args)).toString();
  const witness = /^witness key +(\S+)$/m.exec(made)?.[1];
  if (witness === undefined) throw new Error(`init printed no witness key: ${made}`);
  const server = await startSshd(cleanup, {
    authorizedKeys: (publicKey) =>
      `restrict,from="127.0.0.1",command="${SIGNER_LOG} receive ${place.join(" ")}" ${publicKey}\n`,
  });
  const table = `
[[remote_log]]
type = "ssh"
name = "${name}"
host = "127.0.0.1"
port = ${server.port}
user = "${userInfo().username}"
key = "${server.identity}"
host_key = "${server.hostKey}"
witness = "${witness}"
required = ${required}
`;
  await appendFile(host.configFile, table);
  return { directory: join(copies, "repo"), witness, table };
}
