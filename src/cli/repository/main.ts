import type { RepoProgram } from "../../repository/repo-add-arguments.ts";
import { run, say } from "../run.ts";
import { openClientSigning } from "./client-signing.ts";
import { readRepositoryEnvironment } from "./repository-environment.ts";
import { runRepositoryProgram } from "./repository-program.ts";

/** Signals that end repo-add, too. Once the publication has begun it is finished first: a matter of milliseconds. */
const ENDING = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

/** Runs `signer-repo-add` or `signer-repo-remove` in this process. */
export function runAs(program: RepoProgram): void {
  const name = `signer-${program}`;
  const ended = new AbortController();
  for (const signal of ENDING) process.on(signal, () => ended.abort());
  // Who reads what we say may go away; what is being published is not left in the middle for that.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  const environment = readRepositoryEnvironment(process.env);
  const note = (text: string) => void process.stderr.write(`${name}: ${text}\n`);
  void run(name, async () => {
    process.umask(0o022); // as repo-add: everybody reads databases
    return runRepositoryProgram(program, process.argv.slice(2), {
      environment,
      cwd: process.cwd(),
      write: (text) => void process.stdout.write(text),
      say: (code, reason) => void say(name, code, reason),
      note,
      openSigning: (options) => openClientSigning(environment, { ...options, note }),
      signal: ended.signal,
    });
  });
}
