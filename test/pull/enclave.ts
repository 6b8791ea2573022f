import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { appendFileSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { CertificateAuthority, CertificateFiles } from "../support/certificates.ts";
import type { Cleanup } from "../support/cleanup.ts";
import { type Ended, run } from "../support/run.ts";
import { SIGNER, type SigningHostUnderTest } from "../support/signing-host.ts";

/** A signing host that fetches its work. */
export interface Enclave {
  /** Of `[pull]`. */
  readonly state: string;
  /** Runs `signer pull --once`. */
  once(...args: readonly string[]): Promise<Ended>;
  /** Starts `signer pull` as a service. */
  start(...args: readonly string[]): ChildProcessWithoutNullStreams;
  /** Names of unfinished downloads. */
  spooled(): readonly string[];
  /** What is remembered of the source. */
  remembered(source?: string): unknown;
}

export interface SourceOptions {
  readonly name?: string;
  readonly url: string;
  readonly authority: CertificateAuthority;
  readonly certificate: CertificateFiles;
  readonly notificationKey: string;
  /** Further lines of TOML. */
  readonly settings?: string;
}

/** Gives a signing host sources, and a state folder for them. */
export function makeEnclave(
  cleanup: Cleanup,
  host: SigningHostUnderTest,
  sources: readonly SourceOptions[],
): Enclave {
  const state = join(host.folder, "pull");
  mkdirSync(state, { mode: 0o700 });
  appendFileSync(
    host.configFile,
    `\n[pull]\nstate = ${JSON.stringify(state)}\n${sources.map(tableOf).join("")}`,
  );
  const command = (args: readonly string[]) => ["--config", host.configFile, "pull", ...args];
  return {
    state,
    once: (...args) => run(SIGNER, command(["--once", ...args]), { env: { PATH: "/usr/bin:/bin" } }),
    start: (...args) => {
      const child = spawn(SIGNER, command(args), { env: { PATH: "/usr/bin:/bin" }, stdio: "pipe" });
      cleanup.add(() => child.kill("SIGKILL"));
      return child;
    },
    spooled: () => readdirSync(state).filter((name) => name.endsWith(".spool")),
    remembered: (source = "repos") => {
      const database = new DatabaseSync(join(state, `${source}.db`), { readOnly: true });
      try {
        return JSON.parse(String(database.prepare("SELECT state FROM source").get()?.["state"]));
      } finally {
        database.close();
      }
    },
  };
}

function tableOf(options: SourceOptions): string {
  const { name = "repos", url, authority, certificate, notificationKey, settings = "" } = options;
  const lines = {
    name,
    url,
    client: "repos",
    ca: authority.caFile,
    certificate: certificate.certificateFile,
    key: certificate.keyFile,
    notification_key: notificationKey,
  };
  const toml = Object.entries(lines).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
  return `\n[[sources]]\n${toml.join("")}poll = "1 s"\nmax_back_off = "1 s"\ntimeout = "5 s"\n${settings}\n`;
}
