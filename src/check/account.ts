import { execFileSync } from "node:child_process";

/** An account of this machine. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  /** Of its own group. */
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/**
 * Looks an account up by name or number: the name service is the machine's business, so getent(1) is asked. Undefined
 * where there is none.
 */
export function findAccount(nameOrUid: string): Account | undefined {
  if (nameOrUid.startsWith("-")) return undefined;
  try {
    const line = execFileSync("/usr/bin/getent", ["passwd", nameOrUid], { encoding: "utf8", stdio: "pipe" });
    // passwd(5)
    const [name, , uid, gid, , home, shell] = line.trim().split(":");
    if (!name || !uid || !gid || home === undefined || shell === undefined) return undefined;
    return { name, uid: Number(uid), gid: Number(gid), home, shell: shell || "/bin/sh" };
  } catch {
    return undefined;
  }
}

/**
 * Whether an account may read, or execute, a file: the kernel is asked, as that account. Undefined where this process may
 * not become it. Groups beside its own one do not count.
 */
export function mayAccess(
  account: Pick<Account, "uid" | "gid">,
  access: "read" | "execute",
  path: string,
): boolean | undefined {
  const self = process.geteuid?.();
  if (self !== 0 && self !== account.uid) return undefined;
  const identity = self === account.uid ? {} : { uid: account.uid, gid: account.gid };
  try {
    const test = access === "read" ? "-r" : "-x";
    execFileSync("/usr/bin/test", [test, path], { stdio: "ignore", cwd: "/", ...identity });
    return true;
  } catch (error) {
    // 1: test(1) ran and says no.
    return (error as { readonly status?: number | null }).status === 1 ? false : undefined;
  }
}
