import { randomBytes } from "node:crypto";
import type { Cleanup } from "./cleanup.ts";
import { type Ended, type RunOptions, run, runOk } from "./run.ts";

/** An account of this machine, made for a test. */
export interface TestAccount {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** A command that runs a program as this account, in these further groups: the program and its arguments follow. */
  as(...groups: readonly TestAccount[]): readonly [command: string, ...args: string[]];
  /** Runs a program as this account. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<Ended>;
}

/** Makes accounts with groups of their own and a shell, which nobody can log into with a password. For root. */
export async function makeAccounts<const Names extends readonly string[]>(
  cleanup: Cleanup,
  names: Names,
): Promise<Readonly<Record<Names[number], TestAccount>>> {
  const suffix = randomBytes(4).toString("hex");
  const accounts: Record<string, TestAccount> = {};
  for (const wanted of names) {
    const name = `${wanted}-${suffix}`;
    // No password, which sshd takes for a locked account where it is written "!".
    const args = ["--system", "--user-group", "--home-dir", "/", "--shell", "/bin/sh", "--password", "*"];
    await runOk("/usr/sbin/useradd", [...args, name]);
    cleanup.add(() => run("/usr/sbin/userdel", [name]));
    const idOf = async (flag: string) => Number((await runOk("id", [flag, name])).toString());
    accounts[wanted] = account(name, await idOf("-u"), await idOf("-g"));
  }
  return accounts as Readonly<Record<Names[number], TestAccount>>;
}

function account(name: string, uid: number, gid: number): TestAccount {
  const as = (...groups: readonly TestAccount[]): readonly [string, ...string[]] => {
    const further = groups.length === 0 ? ["--clear-groups"] : ["--groups", groups.map((g) => g.gid).join()];
    return ["setpriv", "--reuid", String(uid), "--regid", String(gid), ...further, "--"];
  };
  return {
    name,
    uid,
    gid,
    as,
    run: async (command, args, options) => {
      const [program, ...rest] = [...as(), command, ...args];
      return await run(program ?? "", rest, options);
    },
  };
}
