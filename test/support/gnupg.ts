import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Cleanup } from "./cleanup.ts";
import { type Ended, run, runOk } from "./run.ts";
import { tempDir } from "./temp-dir.ts";

/** The time at which {@link GnupgHome.generate} makes keys unless told: long before any test runs. */
const BORN = "20240101T000000";

/** A GnuPG home of its own, with an agent of its own that ends with `cleanup`. */
export class GnupgHome {
  /** Mode 0700. Short, since the agent's socket lies in it. */
  readonly path: string;
  #made = 1;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(cleanup: Cleanup): Promise<GnupgHome> {
    const path = join(await tempDir(cleanup), "gnupg");
    await mkdir(path, { mode: 0o700 });
    await writeFile(join(path, "gpg-agent.conf"), "s2k-count 65536\n"); // passphrases that are quick to check
    const home = new GnupgHome(path);
    cleanup.add(() => run("gpgconf", ["--kill", "all"], { env: home.#env() }));
    return home;
  }

  #env(): NodeJS.ProcessEnv {
    return { ...process.env, GNUPGHOME: this.path, LC_ALL: "C" };
  }

  /** gpg with these arguments, never asking anything; its status is the caller's to look at. */
  try(args: readonly string[], stdin: Uint8Array | string = ""): Promise<Ended> {
    return run("gpg", ["--batch", "--no-tty", "--pinentry-mode", "loopback", ...args], {
      env: this.#env(),
      stdin,
    });
  }

  /** gpg with these arguments, which has to succeed: its stdout. */
  async gpg(args: readonly string[], stdin: Uint8Array | string = ""): Promise<Buffer> {
    const all = ["--batch", "--no-tty", "--pinentry-mode", "loopback", ...args];
    return runOk("gpg", all, { env: this.#env(), stdin });
  }

  /**
   * Makes a primary key and at most one subkey in gpg's own words: `rsa4096`, `sign,cert`. Returns the fingerprint of
   * the primary. `expires` and `born` as gpg takes them: `2024-06-01`, `20240101T000000`.
   */
  async generate(options: {
    readonly primary: readonly [algorithm: string, usage: string];
    readonly subkey?: readonly [algorithm: string, usage: string] | undefined;
    readonly userId?: string;
    readonly passphrase?: string;
    readonly expires?: string;
    readonly subkeyExpires?: string;
    readonly born?: string;
  }): Promise<string> {
    const { primary, subkey, passphrase = "", born = BORN } = options;
    const userId = options.userId ?? `Key ${this.#made++} <test@example.org>`; // gpg makes no second of a name
    const common = ["--passphrase", passphrase, "--faked-system-time", `${born}!`, "--status-fd", "1"];
    const status = await this.gpg([
      ...common,
      "--quick-generate-key",
      userId,
      ...primary,
      options.expires ?? "never",
    ]);
    const fingerprint = /KEY_CREATED P ([0-9A-F]{40})/.exec(status.toString())?.[1];
    if (fingerprint === undefined) throw new Error(`gpg made no key: ${status}`);
    if (subkey !== undefined) {
      await this.gpg([
        ...common,
        "--quick-add-key",
        fingerprint,
        ...subkey,
        options.subkeyExpires ?? "never",
      ]);
    }
    return fingerprint;
  }

  /** The secret key, armored: all of it, or `subkeys` without the secret of the primary. */
  secretKey(fingerprint: string, parts: "all" | "subkeys" = "all", passphrase = ""): Promise<Buffer> {
    const command = parts === "all" ? "--export-secret-keys" : "--export-secret-subkeys";
    return this.gpg(["--armor", "--passphrase", passphrase, command, fingerprint]);
  }

  /** What gpg says about a detached signature over `artefact`, on its status lines: `GOODSIG …`, `BADSIG …`. */
  async verify(signature: string, artefact: string, ...options: readonly string[]): Promise<string> {
    const { stdout } = await this.try([...options, "--status-fd", "1", "--verify", signature, artefact]);
    return stdout.toString();
  }
}
