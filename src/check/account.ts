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
  const [name, , uid, gid, , home, shell] = askNameService("passwd", nameOrUid)?.split(":") ?? []; // passwd(5)
  if (!name || !uid || !gid || home === undefined || shell === undefined) return undefined;
  return { name, uid: Number(uid), gid: Number(gid), home, shell: shell || "/bin/sh" };
}

function askNameService(database: "passwd" | "group", key: string): string | undefined {
  if (key.startsWith("-")) return undefined;
  try {
    return execFileSync("/usr/bin/getent", [database, key], { encoding: "utf8", stdio: "pipe" }).trim();
  } catch {
    return undefined;
  }
}

/** A group of this machine. */
export interface Group {
  readonly name: string;
  readonly gid: number;
  /** Accounts that have it beside their own one. */
  readonly members: readonly string[];
}

/** Looks a group up by name or number, as {@link findAccount} does. */
export function findGroup(nameOrGid: string): Group | undefined {
  const [name, , gid, members = ""] = askNameService("group", nameOrGid)?.split(":") ?? []; // group(5)
  if (!name || !gid) return undefined;
  return { name, gid: Number(gid), members: members.split(",").filter((member) => member !== "") };
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
