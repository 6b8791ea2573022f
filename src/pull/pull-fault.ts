import { Fault } from "../outcome.ts";

/** Something in the folder of `[pull]` that the file system did not do. */
export function failed(what: string, cause: unknown): Fault {
  const { code } = cause as NodeJS.ErrnoException;
  return new Fault("pull-state-failed", `${what}${code === undefined ? "" : ` (${code})`}`, { cause });
}
