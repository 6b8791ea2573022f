import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Cleanup } from "./cleanup.ts";
import { type Ended, type RunOptions, run, runOk } from "./run.ts";
import { tempDir } from "./temp-dir.ts";

/** The real gpg with a home of its own. */
export interface Gpg {
  /** GNUPGHOME. */
  readonly home: string;
  /** Runs `gpg --batch ARGS`. */
  run(args: readonly string[], options?: RunOptions): Promise<Ended>;
  importKey(key: Uint8Array | string): Promise<void>;
  /** Makes a key that signs, without a passphrase: the fingerprint of its primary key. */
  generateKey(userId: string, algorithm?: string): Promise<string>;
  /** Whether gpg finds `signature` good for `data`, and its status lines (doc/DETAILS of GnuPG). */
  verify(signature: Uint8Array, data: Uint8Array): Promise<GpgVerdict>;
}

export interface GpgVerdict {
  readonly good: boolean;
  /** The primary key's fingerprint, 40 upper-case hex digits; undefined where the signature is not valid. */
  readonly fingerprint: string | undefined;
  /** Status lines without their `[GNUPG:] `, such as `VALIDSIG …`, `NOTATION_NAME …`. */
  readonly status: readonly string[];
}

/** Makes an empty keyring; `cleanup` ends the agent that gpg may have started for it. */
export async function startGpg(cleanup: Cleanup): Promise<Gpg> {
  const home = await tempDir(cleanup);
  const scratch = await tempDir(cleanup);
  const env = { ...process.env, GNUPGHOME: home, LC_ALL: "C" };
  cleanup.add(() => run("gpgconf", ["--kill", "all"], { env }));
  const gpg = (args: readonly string[], options: RunOptions = {}) =>
    run("gpg", ["--batch", "--no-tty", "--quiet", ...args], { env, ...options });
  return {
    home,
    run: gpg,
    async importKey(key) {
      await runOk("gpg", ["--batch", "--quiet", "--import"], { env, stdin: key });
    },
    async generateKey(userId, algorithm = "ed25519") {
      const args = [
        "--passphrase",
        "",
        "--status-fd",
        "1",
        "--quick-generate-key",
        userId,
        algorithm,
        "sign",
        "never",
      ];
      const status = (await runOk("gpg", ["--batch", "--quiet", ...args], { env })).toString();
      const fingerprint = /KEY_CREATED \S+ ([0-9A-F]{40})/.exec(status)?.[1];
      if (fingerprint === undefined) throw new Error(`gpg made no key: ${status}`);
      return fingerprint;
    },
    async verify(signature, data) {
      const file = join(scratch, `${randomUUID()}.sig`); // of its own: several may be verified at once
      await writeFile(file, signature);
      const args = ["--status-fd", "1", "--verify", file, "-"];
      const ended = await gpg(args, { stdin: data });
      const status = ended.stdout
        .toString()
        .split("\n")
        .map((line) => line.replace("[GNUPG:] ", ""));
      const valid = status
        .find((line) => line.startsWith("VALIDSIG "))
        ?.split(" ")
        .at(-1);
      return { good: ended.status === 0 && valid !== undefined, fingerprint: valid, status };
    },
  };
}
