import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Cleanup } from "./cleanup.ts";
import {
  makeSigningHost,
  SIGNER,
  type SigningHostOptions,
  type SigningHostUnderTest,
} from "./signing-host.ts";
import { tempDir } from "./temp-dir.ts";

/** A signing host in split mode, and its service. `host.accept` relays to it. */
export interface SigningServiceUnderTest {
  readonly host: SigningHostUnderTest;
  readonly process: ChildProcess;
  /** The socket of a client; of `repos` where left out. */
  socket(client?: string): string;
  /** What the service wrote to its journal so far, one object a line. */
  journal(): readonly Readonly<Record<string, unknown>>[];
  /** Sends a signal, and waits until the journal has a further line with this message. */
  signal(signal: NodeJS.Signals, until: RegExp): Promise<void>;
  /** Ends it, with SIGTERM where nothing else is told: its exit status, or the signal that killed it. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
  /** Starts it again on the same state, after it has ended. */
  restart(): Promise<void>;
}

export interface SigningServiceOptions extends SigningHostOptions {
  /** Of `[service]`, as TOML: `max_active = 1, groups = { repos = "users" }`. */
  readonly service?: string;
  /** How long to wait for it to begin, in ms. */
  readonly patienceMs?: number;
}

/** Makes a signing host of split mode and starts `signer serve`, which `cleanup` ends. */
export async function startSigningService(
  cleanup: Cleanup,
  { service = "", settings = "", patienceMs = 20_000, ...options }: SigningServiceOptions = {},
): Promise<SigningServiceUnderTest> {
  const sockets = await tempDir(cleanup);
  const journalFile = join(await tempDir(cleanup), "journal.jsonl");
  const lines = [
    'mode = "split"',
    `journal = ${JSON.stringify(journalFile)}`,
    `service = { sockets = ${JSON.stringify(sockets)}${service === "" ? "" : `, ${service}`} }`,
    settings,
  ];
  const host = await makeSigningHost(cleanup, { ...options, settings: lines.join("\n") });
  const journal = () => readJournal(journalFile);
  let running = start();
  await begun(running, journal, 0, patienceMs);

  function start(): ChildProcess {
    const child = spawn(SIGNER, ["--config", host.configFile, "serve"], {
      env: { PATH: "/usr/bin:/bin" },
      stdio: ["ignore", "inherit", "inherit"],
    });
    cleanup.add(() => end(child, "SIGKILL"));
    return child;
  }

  return {
    host,
    get process() {
      return running;
    },
    socket: (client = "repos") => join(sockets, `${client}.sock`),
    journal,
    signal: async (signal, until) => {
      const before = journal().length;
      running.kill(signal);
      await waitFor(() =>
        journal()
          .slice(before)
          .some(({ msg }) => until.test(String(msg))),
      );
    },
    stop: (signal = "SIGTERM") => end(running, signal),
    restart: async () => {
      const before = journal().length;
      running = start();
      await begun(running, journal, before, patienceMs);
    },
  };
}

/** Waits until something is so, by asking again and again; throws where it does not come about. */
export async function waitFor(isSo: () => boolean, patienceMs = 20_000): Promise<void> {
  for (const end = Date.now() + patienceMs; !isSo(); await delay(20))
    if (Date.now() > end) throw new Error("what was waited for did not come about");
}

/** A connection to a service's socket, for who speaks its protocol badly. Errors of the connection are left to its end. */
export async function connectTo(path: string): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true });
  await once(socket, "connect");
  socket.on("error", () => undefined);
  return socket;
}

async function begun(
  child: ChildProcess,
  journal: () => readonly Readonly<Record<string, unknown>>[],
  from: number,
  patienceMs: number,
): Promise<void> {
  await waitFor(() => {
    if (child.exitCode !== null) throw new Error(`signer serve ended with ${child.exitCode}`);
    return journal()
      .slice(from)
      .some(({ msg }) => msg === "serving");
  }, patienceMs);
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | string> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }
  return child.exitCode ?? child.signalCode ?? "";
}

function readJournal(file: string): readonly Readonly<Record<string, unknown>>[] {
  try {
    const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line));
  } catch {
    return [];
  }
}
