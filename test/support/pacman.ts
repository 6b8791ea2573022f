import { mkdir, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import type { Cleanup } from "./cleanup.ts";
import { type Ended, run, runOk } from "./run.ts";
import { tempDir } from "./temp-dir.ts";

/** What a machine that installs from the repository knows. */
export interface PacmanOptions {
  /** Name of the repository, as in `[core]`. */
  readonly repository: string;
  /** Folder that is served. */
  readonly folder: string;
  /** The distribution's public key and its fingerprint, which the client trusts; none where left out. */
  readonly key?: { readonly armored: string; readonly fingerprint: string };
}

/** The real pacman, away from the system's own: `SigLevel = Required`. */
export interface PacmanClient {
  /** `pacman -Sy`: fetches and verifies the database. */
  sync(): Promise<Ended>;
  /** `pacman -Fy`: the files database. */
  syncFiles(): Promise<Ended>;
  /** Any other operation, such as `["-Sl", "core"]`. */
  run(args: readonly string[]): Promise<Ended>;
}

/** Makes a client with a keyring and a database folder of its own; about 2 s, most of it pacman-key. Root or not. */
export async function makePacmanClient(cleanup: Cleanup, options: PacmanOptions): Promise<PacmanClient> {
  const folder = await tempDir(cleanup);
  const path = (name: string) => join(folder, name);
  for (const name of ["root", "db", "cache", "hooks", "gnupg"]) await mkdir(path(name), { mode: 0o755 });
  const config = ["[options]", "Architecture = auto", "SigLevel = Required"];
  config.push(`[${options.repository}]`, `Server = file://${options.folder}`, "");
  await writeFile(path("pacman.conf"), config.join("\n"));

  const env = { ...process.env, LC_ALL: "C" };
  // Both programs insist on root; fakeroot, which makepkg brings along, is enough.
  const asRoot = (command: string, args: readonly string[]): [string, readonly string[]] =>
    userInfo().uid === 0 ? [command, args] : ["fakeroot", ["--", command, ...args]];
  const key = (...args: string[]) =>
    runOk(...asRoot("pacman-key", ["--config", path("pacman.conf"), "--gpgdir", path("gnupg"), ...args]), {
      env,
    });
  cleanup.add(() => run("gpgconf", ["--homedir", path("gnupg"), "--kill", "all"], { env }));
  await key("--init");
  if (options.key) {
    await writeFile(path("key.asc"), options.key.armored);
    await key("--add", path("key.asc"));
    await key("--lsign-key", options.key.fingerprint);
  }

  const places = ["--config", path("pacman.conf"), "--root", path("root"), "--dbpath", path("db")];
  places.push(
    "--cachedir",
    path("cache"),
    "--gpgdir",
    path("gnupg"),
    "--hookdir",
    path("hooks"),
    "--logfile",
    path("log"),
  );
  const pacman = (args: readonly string[]) =>
    run(...asRoot("pacman", [...args, ...places, "--noconfirm"]), { env });
  return { sync: () => pacman(["-Sy"]), syncFiles: () => pacman(["-Fy"]), run: pacman };
}
