import { Fault, quoted } from "../outcome.ts";

/** The errno of a failed system call, such as `ENOENT`; undefined for any other error. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

/** A system call that failed on the repository's files, as a fault (74) of one line; every other error is left as it is. */
export function repositoryFault(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined || !/^E[A-Z0-9]+$/.test(code)) return error;
  const where = path === undefined ? "a file of the repository" : quoted(path, 300);
  return new Fault("repository-failed", `expected to ${syscall} ${where}: ${code}`, { cause: error });
}
