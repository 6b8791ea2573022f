import { accessSync, constants } from "node:fs";
import { DEFAULT_CONFIG_FILE } from "../config/config.ts";
import { readConfigFile } from "../config/config-file.ts";
import { Fault } from "../outcome.ts";

/** The options that every command of `signer-log` has. */
export interface StateOptions {
  readonly config?: string;
  /** The state directory itself, where there is no configuration: a copy of a log, say. */
  readonly state?: string;
}

/** The state directory that the command line names. Fault `bad-configuration` where the configuration cannot be read. */
export function locateState(options: StateOptions): string {
  const directory = options.state ?? readConfigFile(options.config ?? DEFAULT_CONFIG_FILE).stateDirectory;
  if (isClosed(directory))
    throw new Fault(
      "log-not-durable",
      `${directory} is closed to this account: expected root, or the one that signs`,
    );
  return directory;
}

function isClosed(directory: string): boolean {
  try {
    accessSync(directory, constants.R_OK | constants.X_OK);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES";
  }
}
