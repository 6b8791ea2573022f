import { type Code, EXIT, Fault, outcomeLine, quoted } from "../outcome.ts";

/**
 * Runs a command to its end. The exit status is a failure until `work` says otherwise, so that a process that stops in the
 * middle, for whatever reason, never looks like a success.
 * @param work resolves with the exit status
 */
export async function run(program: string, work: () => Promise<number>): Promise<void> {
  process.exitCode = EXIT.internal;
  process.umask(0o077);
  try {
    process.exitCode = await work();
  } catch (error) {
    process.exitCode = fail(program, error);
  }
}

/** Says on stderr what went wrong, a bug's own words included: for who runs the program. Returns the exit status. */
function fail(program: string, error: unknown): number {
  if (error instanceof Fault) return say(program, error.code, error.message);
  return say(program, "internal", quoted(String(error), 500));
}

/** One coded line on stderr. Returns the exit status of the code. */
export function say(program: string, code: Code, reason: string): number {
  process.stderr.write(outcomeLine(program, code, reason));
  return EXIT[code];
}
