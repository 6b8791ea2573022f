import { spawnSync } from "node:child_process";
import { Fault, quoted } from "../outcome.ts";

/** Where programs are looked for: this process's own environment is empty. */
const PATH = "/usr/local/bin:/usr/bin:/bin";
/** Certificates are made in milliseconds. */
const TIMEOUT_MS = 30_000;
const MAX_OUTPUT_BYTES = 16 * 1024 ** 2;
const OLDEST_MAJOR = 3;

/** The program openssl(1) 3.0 or newer, run without a shell, with nothing on stdin, and with no configuration but the one given. */
export class Openssl {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * @param path where to look for it, as in `PATH`
   * @throws Fault `bad-configuration` where it is not there, or too old
   */
  static find(path: string = PATH): Openssl {
    const openssl = new Openssl(path);
    const { stdout, error } = openssl.#spawn(["version"], "/");
    if (error !== undefined)
      throw new Fault(
        "bad-configuration",
        `expected the program openssl, version ${OLDEST_MAJOR}.0 or newer, in ${path}: ${(error as NodeJS.ErrnoException).code}`,
        { cause: error },
      );
    const version = stdout.trim();
    const major = /^OpenSSL (\d+)\.\d+/.exec(version)?.[1];
    if (major === undefined || Number(major) < OLDEST_MAJOR)
      throw new Fault(
        "bad-configuration",
        `expected OpenSSL ${OLDEST_MAJOR}.0 or newer in ${path}, found ${quoted(version)}`,
      );
    return openssl;
  }

  /**
   * What it wrote to stdout.
   * @param folder it runs in
   * @throws Fault `authority-failed` where it fails
   */
  run(args: readonly string[], folder: string): string {
    const { status, stdout, stderr, error } = this.#spawn(args, folder);
    if (error === undefined && status === 0) return stdout;
    const lines = stderr.split("\n").filter((line) => line.trim() !== "");
    const said = lines.find((line) => /error/i.test(line)) ?? lines.at(-1) ?? "";
    const what = error === undefined ? quoted(said, 200) : error.message;
    throw new Fault("authority-failed", `openssl ${args[0]} failed: ${what}`, { cause: error ?? stderr });
  }

  #spawn(args: readonly string[], folder: string) {
    return spawnSync("openssl", args, {
      cwd: folder,
      env: { PATH: this.#path, LC_ALL: "C", OPENSSL_CONF: "/dev/null" },
      stdio: ["ignore", "pipe", "pipe"],
      encoding: "latin1",
      timeout: TIMEOUT_MS,
      maxBuffer: MAX_OUTPUT_BYTES,
    });
  }
}
