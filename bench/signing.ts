import { join } from "node:path";
import type { Cleanup } from "../test/support/cleanup.ts";
import { startGpg } from "../test/support/gpg.ts";
import { makeSigningHost, SIGNER } from "../test/support/signing-host.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import type { Program } from "./measure.ts";

/** The PATH of everything that is measured. */
export const PATH = "/usr/local/bin:/usr/bin:/bin";

/** Who signs: we as sshd would start us, and GnuPG with an agent that is running; both with an Ed25519 key. */
export interface Signers {
  /** `signer accept` of a file under a name. */
  accept(name: string, file: string): Program;
  /** `gpg --detach-sign` of a file; `before` is a shell command that has to succeed first. */
  gpg(file: string, before?: string): Program;
}

/** Makes a signing host whose rules have no limits, its log and journal on disk, and a GnuPG home; `cleanup` removes both. */
export async function makeSigners(cleanup: Cleanup): Promise<Signers> {
  const journal = join(await tempDir(cleanup), "journal.jsonl");
  const { configFile } = await makeSigningHost(cleanup, { settings: `journal = ${JSON.stringify(journal)}` });
  const gpg = await startGpg(cleanup);
  await gpg.generateKey("Bench <bench@example.org>");
  return {
    accept: (name, file) => ({
      command: SIGNER,
      args: ["--config", configFile, "accept", "--client", "repos"],
      env: { PATH, SSH_CONNECTION: "127.0.0.1 40000 127.0.0.1 22", SSH_ORIGINAL_COMMAND: name },
      stdin: file,
    }),
    gpg: (file, before = "true") => ({
      command: "/bin/sh",
      args: ["-c", `${before} && exec gpg --batch --no-tty --output - --detach-sign "$1"`, "sh", file],
      env: { PATH, GNUPGHOME: gpg.home },
    }),
  };
}
