import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { errorCode } from "./repository-fault.ts";

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
    startTicks: statOf(process.pid)?.startTicks ?? "0",
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
  if (!isRunning(holder.pid)) return true;
  // With hidepid, /proc shows nothing of other users' processes: what runs and cannot be seen counts as alive.
  const fields = statOf(holder.pid);
  if (fields === undefined) return false;
  return fields.state === "Z" || fields.state === "X" || fields.startTicks !== holder.startTicks;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) !== "ESRCH";
  }
}

/** Fields 3 and 22 of proc_pid_stat(5); undefined where they cannot be read. */
function statOf(pid: number): { readonly state: string; readonly startTicks: string } | undefined {
  try {
    // The second field, the program's name in brackets, may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
      .replace(/^.*\) /s, "")
      .split(" ");
    const [state, startTicks] = [fields[0], fields[19]];
    return state === undefined || startTicks === undefined ? undefined : { state, startTicks };
  } catch {
    return undefined;
  }
}
