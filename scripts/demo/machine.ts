import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../test/support/run.ts";
import type { Command } from "./story.ts";

/** Somebody's machine: a folder as home, a prompt, and programs that are set up for it. */
export interface Machine {
  readonly home: string;
  /** A command line as it is typed here, run by `sh -c`, redirections and all. */
  sh(text: string): Command;
  /** The environment that it runs in. */
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Makes a machine in a folder that it shares with others.
 * @param programs names in its PATH, and for each the program and first arguments that it stands for
 */
export async function makeMachine(
  folder: string,
  prompt: string,
  programs: Readonly<Record<string, readonly [string, ...string[]]>> = {},
): Promise<Machine> {
  const home = join(folder, prompt);
  const bin = join(folder, `bin-of-${prompt}`);
  await mkdir(home);
  await mkdir(bin);
  for (const [name, words] of Object.entries(programs)) {
    const file = join(bin, name);
    await writeFile(file, `#!/bin/sh\nPATH=\${PATH#*:}\nexec ${words.map(quoteForShell).join(" ")} "$@"\n`);
    await chmod(file, 0o755);
  }
  const env = {
    PATH: `${bin}:${process.env["PATH"]}`,
    HOME: home,
    LC_ALL: "C",
    TERM: process.env["TERM"],
    NO_COLOR: process.env["NO_COLOR"],
  };
  return {
    home,
    env,
    sh: (text) => ({ prompt, text, run: () => run("/bin/sh", ["-c", text], { cwd: home, env }) }),
  };
}

function quoteForShell(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
