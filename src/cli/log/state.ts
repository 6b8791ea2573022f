import { accessSync, constants, existsSync } from "node:fs";
import { join } from "node:path";
import { DEFAULT_CONFIG_FILE } from "../../config/config.ts";
import { readConfigFile } from "../../config/config-file.ts";
import { Fault } from "../../outcome.ts";

/** Where a log host keeps its copies unless `--copies` says otherwise. */
export const DEFAULT_COPIES_DIRECTORY = "/var/lib/signer-log";

/** The options that every command of `signer-log` has. */
export interface StateOptions {
  readonly config?: string;
  /** The state directory itself, where there is no configuration. */
  readonly state?: string;
  /** On a log host: name of a copy. */
  readonly log?: string;
  /** On a log host: the folder of all copies. */
  readonly copies?: string;
}

/**
 * The state directory, or the copy's folder, that the command line names. Fault `bad-configuration` where the configuration
 * cannot be read, or a copy's name is none.
 */
export function locateState(options: StateOptions): string {
  const directory =
    options.state ?? locateCopy(options) ?? readConfigFile(configFile(options)).stateDirectory;
  if (options.state === undefined && options.log !== undefined && !existsSync(directory))
    throw new Fault("no-state", `there is no ${directory}: signer-log init makes a copy of a log`);
  if (isClosed(directory))
    throw new Fault(
      "log-not-durable",
      `${directory} is closed to this account: expected root, or the one that signs`,
    );
  return directory;
}

/** The configuration of the signing host that the command line names. */
export function configFile(options: StateOptions): string {
  return options.config ?? DEFAULT_CONFIG_FILE;
}

/** The folder of the copy that `--log` names; undefined without it. Fault `bad-configuration` where it is no name. */
export function locateCopy({ log, copies }: StateOptions): string | undefined {
  if (log === undefined) return undefined;
  if (!/^[a-z0-9][a-z0-9_-]{0,63}$/.test(log))
    throw new Fault("bad-configuration", "--log: expected 1 to 64 characters of a-z, 0-9, _ and -");
  return join(copies ?? DEFAULT_COPIES_DIRECTORY, log);
}

function isClosed(directory: string): boolean {
  try {
    accessSync(directory, constants.R_OK | constants.X_OK);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES";
  }
}
