import { execFileSync } from "node:child_process";

/** An account of this machine. */
export interface Account {
  /** As id(1) prints it; its number where it has no name. */
  readonly name: string;
  readonly uid: number;
  /** Of its own group. */
  readonly gid: number;
}

/**
 * Looks an account up by name or number: the name service is the machine's business, so id(1) is asked. Undefined where
 * there is none.
 */
export function findAccount(nameOrUid: string): Account | undefined {
  if (nameOrUid.startsWith("-")) return undefined;
  try {
    const [uid = Number.NaN, gid = Number.NaN] = ["-u", "-g"].map((flag) => Number(id(flag, nameOrUid)));
    return { name: id("-un", nameOrUid), uid, gid };
  } catch {
    return undefined;
  }
}

function id(flag: string, account: string): string {
  return execFileSync("/usr/bin/id", [flag, account], { encoding: "utf8", stdio: "pipe" }).trim();
}

/**
 * Whether an account may read, or execute, a file: the kernel is asked, as that account. Undefined where this process may
 * not become it. Groups beside its own one do not count.
 */
export function mayAccess(account: Account, access: "read" | "execute", path: string): boolean | undefined {
  const self = process.geteuid?.();
  if (self !== 0 && self !== account.uid) return undefined;
  const identity = self === account.uid ? {} : { uid: account.uid, gid: account.gid };
  try {
    execFileSync("/usr/bin/test", [access === "read" ? "-r" : "-x", path], {
      stdio: "ignore",
      cwd: "/",
      ...identity,
    });
    return true;
  } catch (error) {
    // 1: test(1) ran and says no.
    return (error as { readonly status?: number | null }).status === 1 ? false : undefined;
  }
}
