import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/**
 * One process, told apart from every other that ever had its number: by machine, boot, PID namespace and the moment it
 * started. Linux only.
 */
export interface LockHolder {
  readonly pid: number;
  /** In clock ticks since the boot: proc_pid_stat(5), field 22. */
  readonly startTicks: string;
  /** /proc/sys/kernel/random/boot_id, 32 hex digits without the dashes. */
  readonly boot: string;
  /** Inode of the PID namespace, decimal. */
  readonly namespace: string;
  /** First 8 hex digits of the SHA-256 of the host name. */
  readonly host: string;
}

const NAME = /^lock-([1-9]\d{0,9})-(\d{1,20})-([0-9a-f]{32})-(\d{1,20})-([0-9a-f]{8})$/;

/** This process. */
export function currentHolder(): LockHolder {
  return {
    pid: process.pid,
    startTicks: startTicksOf(process.pid) ?? "0",
    boot: readFileSync("/proc/sys/kernel/random/boot_id", "latin1").replaceAll(/[^0-9a-f]/g, ""),
    namespace: readlinkSync("/proc/self/ns/pid").replaceAll(/\D/g, ""),
    host: createHash("sha256").update(hostname()).digest("hex").slice(0, 8),
  };
}

/** The holder as a file name, `lock-PID-TICKS-BOOT-NAMESPACE-HOST`. */
export function encodeLockHolder({ pid, startTicks, boot, namespace, host }: LockHolder): string {
  return `lock-${pid}-${startTicks}-${boot}-${namespace}-${host}`;
}

/** Reads what {@link encodeLockHolder} writes; undefined for any other name. */
export function parseLockHolder(name: string): LockHolder | undefined {
  const [, pid, startTicks, boot, namespace, host] = NAME.exec(name) ?? [];
  if (
    pid === undefined ||
    startTicks === undefined ||
    boot === undefined ||
    namespace === undefined ||
    host === undefined
  )
    return undefined;
  return { pid: Number(pid), startTicks, boot, namespace, host };
}

/**
 * Whether the process is certainly gone. What cannot be known from here, on another machine or in another container, counts
 * as alive.
 */
export function isGone(holder: LockHolder, here: LockHolder): boolean {
  if (holder.host !== here.host) return false;
  if (holder.boot !== here.boot) return true;
  if (holder.namespace !== here.namespace) return false;
  return startTicksOf(holder.pid) !== holder.startTicks;
}

/** Undefined where there is no such process, or only its remains (a zombie). */
function startTicksOf(pid: number): string | undefined {
  try {
    // The second field, the program's name in brackets, may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
      .replace(/^.*\) /s, "")
      .split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
