import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Cleanup } from "./cleanup.ts";
import { type Ended, type RunOptions, run, runOk } from "./run.ts";
import { tempDir } from "./temp-dir.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** The shipped units. */
export const UNITS = join(ROOT, "contrib", "systemd");

/** What the units of a machine expect of it; nothing of it is needed here. */
const EMPTY_TARGETS = [
  "basic",
  "boot",
  "local-fs",
  "network-online",
  "nss-lookup",
  "shutdown",
  "sockets",
  "sysinit",
];
const PATIENCE_MS = 30_000;

/** Whether this machine can boot a second systemd in namespaces: as root, with overlayfs and cgroup 2. */
export const canBootSystemd =
  process.getuid?.() === 0 &&
  existsSync("/lib/systemd/systemd") &&
  ["overlay", "cgroup2"].every((type) => readFileSync("/proc/filesystems", "latin1").includes(`\t${type}\n`));

/** A systemd of its own that has the shipped units, unchanged but for where their output goes. */
export interface BootedSystemd {
  /** Runs a program in there, as root. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<Ended>;
  runOk(command: string, args: readonly string[], options?: RunOptions): Promise<Buffer>;
  /** What services wrote to stderr so far. */
  said(): string;
  /** Joins its network, which has nothing else, with this machine by a cable: this machine's address at it. */
  connect(): Promise<string>;
}

/** Boots; `prepare`, a shell script, makes accounts and configuration first. `cleanup` ends it, and nothing of it stays. */
export async function bootSystemd(cleanup: Cleanup, prepare: string): Promise<BootedSystemd> {
  const folder = await tempDir(cleanup);
  const units = join(folder, "units");
  mkdirSync(units);
  for (const target of EMPTY_TARGETS)
    writeFileSync(join(units, `${target}.target`), "[Unit]\nDefaultDependencies=no\n");
  for (const unit of readdirSync(UNITS).filter((name) => /\.(?:service|socket)$/.test(name))) {
    copyFileSync(join(UNITS, unit), join(units, unit));
    if (!unit.endsWith(".service")) continue;
    mkdirSync(join(units, `${unit}.d`));
    const output =
      "[Service]\nStandardError=append:/run/machine/said\nStandardOutput=append:/run/machine/said\n";
    writeFileSync(join(units, `${unit}.d`, "output.conf"), output);
  }
  writeFileSync(join(folder, "prepare"), `set -eu\n${prepare}`);
  writeFileSync(join(folder, "said"), "");
  const child = spawn("sh", [join(import.meta.dirname, "boot-systemd.sh"), folder, ROOT], { stdio: "pipe" });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  const exited = once(child, "exit");
  const first = () => firstProcess(folder);
  cleanup.add(async () => {
    const pid = first();
    if (pid !== undefined) process.kill(pid, "SIGKILL");
    await exited;
  });
  const enter = (command: string, args: readonly string[]): [string, readonly string[]] => [
    "nsenter",
    ["-t", String(first()), "-m", "-p", "-i", "-u", "-n", "-C", command, ...args],
  ];
  for (const end = Date.now() + PATIENCE_MS; ; await delay(50)) {
    if (child.exitCode !== null || Date.now() > end) throw new Error(`systemd did not boot: ${output}`);
    if (first() === undefined) continue;
    const { status } = await run(...enter("systemctl", ["is-active", "boot.target"]));
    if (status === 0) break;
  }
  return {
    run: (command, args, options) => run(...enter(command, args), options),
    runOk: (command, args, options) => runOk(...enter(command, args), options),
    said: () => readFileSync(join(folder, "said"), "utf8"),
    connect: async () => {
      const id = randomBytes(3);
      const [outer, inner] = [`mo${id.toString("hex")}`, `mi${id.toString("hex")}`];
      // Of the block for tests of network devices (RFC 2544), four addresses that nobody here has.
      const network = `198.${18 + ((id[0] ?? 0) % 2)}.${id[1] ?? 0}`;
      const last = (id[2] ?? 0) & 0xfc;
      const there = ["peer", "name", inner, "netns", String(first())];
      await runOk("ip", ["link", "add", outer, "type", "veth", ...there]);
      cleanup.add(() => run("ip", ["link", "delete", outer]));
      await runOk("ip", ["address", "add", `${network}.${last + 1}/30`, "dev", outer]);
      await runOk("ip", ["link", "set", outer, "up"]);
      await runOk(...enter("ip", ["address", "add", `${network}.${last + 2}/30`, "dev", inner]));
      await runOk(...enter("ip", ["link", "set", inner, "up"]));
      return `${network}.${last + 1}`;
    },
  };
}

/** The process id, outside, of process 1 inside. */
function firstProcess(folder: string): number | undefined {
  try {
    const parent = readFileSync(join(folder, "unshare-pid"), "latin1").trim();
    const [child] = readFileSync(`/proc/${parent}/task/${parent}/children`, "latin1").split(" ");
    return child === undefined || child === "" ? undefined : Number(child);
  } catch {
    return undefined;
  }
}
