import { realpathSync, writeSync } from "node:fs";
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
 * A second fence behind the account's own rights and the service manager's sandbox. Same process id, so that whoever started
 * it notices nothing. Returns where the process is fenced already, or this Node cannot.
 *
 * Descriptors do not come along: Node closes what it has inherited when it starts something. A service whose sockets systemd has
 * opened is fenced by the launcher, which asks for the flags first and gets them on stdout, one a line.
 */
export function enterFence(argv: readonly string[], environment: Environment, fence: Fence): void {
  const script = process.argv[1];
  if (process.permission !== undefined || script === undefined) return;
  const canFence =
    process.execve !== undefined && process.allowedNodeEnvironmentFlags.has(NEWEST_FLAG) === true;
  if (environment.fence === "ask") {
    writeSync(
      1,
      canFence
        ? flagsOf(fence, script)
            .map((flag) => `${flag}\n`)
            .join("")
        : "",
    );
    process.exit(0);
  }
  if (!canFence) return;
  process.execve?.(
    process.execPath,
    [process.execPath, ...process.execArgv, ...flagsOf(fence, script), script, ...argv],
    variablesOf(environment),
  );
}

/** Flags of Node; none has a newline in it, since no path of a configuration has. */
function flagsOf({ read, write }: Fence, script: string): readonly string[] {
  const program = join(dirname(realpathSync(script)), ".."); // dist/ or src/, and node_modules
  return [
    "--disable-warning=ExperimentalWarning",
    "--disable-warning=PERM0006", // about --allow-worker: the digests beside the recogniser have one
    "--permission",
    "--allow-net",
    "--allow-worker",
    ...patternsOf([program, ...read, ...write]).map((pattern) => `--allow-fs-read=${pattern}`),
    ...patternsOf(write).map((pattern) => `--allow-fs-write=${pattern}`),
  ];
}

/**
 * The paths as Node is told of them. Told of `/var/lib/signer` and `/var/lib/signer-pull`, Node 26 closes the first one, a folder or a
 * file, where its name ends: so it is told of all names that begin like it.
 */
function patternsOf(paths: readonly string[]): readonly string[] {
  const all = outermost(paths);
  const isBeginning = (path: string) => all.some((other) => other !== path && other.startsWith(path));
  const beginnings = all.filter(isBeginning);
  const isCovered = (path: string) => beginnings.some((other) => other !== path && path.startsWith(other));
  return all.filter((path) => !isCovered(path)).map((path) => (isBeginning(path) ? `${path}*` : path));
}

/**
 * The paths, and where they lead, without those that lie in another one: told of a folder after something in it, Node 26
 * closes that folder itself.
 */
function outermost(paths: readonly string[]): readonly string[] {
  const all = new Set(paths.flatMap((path) => [path, realPath(path)]));
  return [...all].filter((path) => !ancestorsOf(path).some((folder) => all.has(folder)));
}

function ancestorsOf(path: string): readonly string[] {
  const parent = dirname(path);
  return parent === path ? [] : [parent, ...ancestorsOf(parent)];
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
