import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Environment, SERVICE_VARIABLES } from "./environment.ts";

/** Paths that a process may use, folders with all that is in them; one that is not there is no mistake. */
export interface Fence {
  readonly read: readonly string[];
  readonly write: readonly string[];
}

/** Of Node's permission model: a Node that lacks it would take the others for a wish to have no sockets. */
const NEWEST_FLAG = "--allow-net";

/**
 * Starts this program anew in place of itself, under Node's permission model: no other paths, no child process, no addon.
 * A second fence behind the account's own rights and the service manager's sandbox. Same process id, same descriptors, so
 * that whoever started it notices nothing. Returns where the process is fenced already, or this Node cannot.
 */
export function enterFence(argv: readonly string[], environment: Environment, { read, write }: Fence): void {
  const script = process.argv[1];
  if (process.permission !== undefined || script === undefined) return;
  if (process.execve === undefined || !process.allowedNodeEnvironmentFlags.has(NEWEST_FLAG)) return;
  const program = join(dirname(realpathSync(script)), ".."); // dist/ or src/, and node_modules
  process.execve(
    process.execPath,
    [
      process.execPath,
      ...process.execArgv,
      "--disable-warning=ExperimentalWarning",
      "--disable-warning=PERM0006", // about --allow-worker: the digests beside the recogniser have one
      "--permission",
      "--allow-net",
      "--allow-worker",
      ...[program, ...read, ...write].flatMap((path) => allow("read", path)),
      ...write.flatMap((path) => allow("write", path)),
      script,
      ...argv,
    ],
    variablesOf(environment),
  );
}

/** A path, and where it leads. */
function allow(access: "read" | "write", path: string): readonly string[] {
  return [...new Set([path, realPath(path)])].map((each) => `--allow-fs-${access}=${each}`);
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function variablesOf(environment: Environment): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const [key, name] of Object.entries(SERVICE_VARIABLES)) {
    const value = environment[key as keyof typeof SERVICE_VARIABLES];
    if (value !== undefined) variables[name] = value;
  }
  return variables;
}
