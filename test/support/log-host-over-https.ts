import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, chmod } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { type CertificateAuthority, type CertificateFiles, makeAuthority } from "./certificates.ts";
import type { Cleanup } from "./cleanup.ts";
import { makeKeptCopy } from "./kept-copy.ts";
import { type Nginx, startNginx } from "./nginx.ts";
import { type Ended, run } from "./run.ts";
import { SIGNER_LOG, type SigningHostUnderTest } from "./signing-host.ts";
import { waitFor } from "./signing-service.ts";
import { tempDir } from "./temp-dir.ts";

/** Of nginx's workers, where the tests are root's. */
const WORKERS = "www-data";

/** A log host behind nginx: `signer-log receive --http`, in a process of its own. */
export interface HttpsLogHostUnderTest {
  /** The folder of the copy. */
  readonly directory: string;
  readonly authority: CertificateAuthority;
  readonly nginx: Nginx;
  /** The receiver's socket. */
  readonly socket: string;
  /** What the signing host shows. */
  readonly certificate: CertificateFiles;
  /** Runs `bin/signer-log --log repo … ARGS` there. */
  signerLog(...args: readonly string[]): Promise<Ended>;
  /** What the receiver wrote to stderr so far, one line each. */
  said(): readonly string[];
  /** Ends the receiver: its exit status, or the signal that killed it. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
  /** Starts the receiver again, after it has ended. */
  start(): Promise<void>;
}

/**
 * Makes the copy of a signing host's log, starts receiver and nginx for it, and appends its `[[remote_log]]` to the signing host's
 * configuration.
 */
export async function startHttpsLogHost(
  cleanup: Cleanup,
  host: SigningHostUnderTest,
  options: { readonly name?: string; readonly required?: boolean; readonly timeout?: string } = {},
): Promise<HttpsLogHostUnderTest> {
  const { name = "loghost", required = true, timeout = "10 s" } = options;
  const { folder, here, said } = await makeKeptCopy(cleanup, host, name);
  const witness = /^witness = (".*")$/m.exec(said)?.[1] ?? "";
  const sockets = await tempDir(cleanup);
  await chmod(sockets, 0o711);
  const socket = join(sockets, "http.socket");
  const group = userInfo().uid === 0 ? ["--group", WORKERS] : [];
  const args = [...here, "receive", "--http", socket, ...group];
  let text = "";
  let receiver: ChildProcess | undefined;
  const lines = () => text.split("\n").slice(0, -1);
  const start = async (): Promise<void> => {
    const before = lines().length;
    const child = spawn(SIGNER_LOG, args, {
      env: { PATH: "/usr/bin:/bin" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    receiver = child;
    child.stderr.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    await waitFor(() => {
      if (child.exitCode !== null)
        throw new Error(`signer-log receive ended with ${child.exitCode}: ${text}`);
      return lines()
        .slice(before)
        .some((line) => line.startsWith("signer-log: receive: ready for "));
    });
  };
  const stop = async (signal: NodeJS.Signals = "SIGTERM"): Promise<number | string> => {
    if (receiver === undefined) return 0;
    if (receiver.exitCode === null && receiver.signalCode === null) {
      const exited = once(receiver, "exit");
      receiver.kill(signal);
      await exited;
    }
    return receiver.exitCode ?? receiver.signalCode ?? "";
  };
  cleanup.add(() => stop("SIGKILL"));
  await start();
  const authority = await makeAuthority(cleanup, { algorithm: "ed25519" });
  const [nginx, certificate] = await Promise.all([
    startNginx(cleanup, { authority, logSocket: socket, user: WORKERS }),
    authority.issue({ usage: "client", commonName: "enclave" }),
  ]);
  const table = {
    type: "https",
    name,
    url: nginx.url,
    ca: authority.caFile,
    crl: authority.crlFile,
    certificate: certificate.certificateFile,
    key: certificate.keyFile,
    required,
    timeout,
  };
  const settings = Object.entries(table).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  await appendFile(host.configFile, `\n[[remote_log]]\n${settings.join("\n")}\nwitness = ${witness}\n`);
  return {
    directory: join(folder, "repo"),
    authority,
    nginx,
    socket,
    certificate,
    signerLog: (...more) => run(SIGNER_LOG, [...here, ...more]),
    said: lines,
    stop,
    start,
  };
}
