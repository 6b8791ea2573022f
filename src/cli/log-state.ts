import { DEFAULT_CONFIG_FILE } from "../config/config.ts";
import { readConfigFile } from "../config/config-file.ts";

/** The options that every command of `signer-log` has. */
export interface StateOptions {
  readonly config?: string;
  /** The state directory itself, where there is no configuration: a copy of a log, say. */
  readonly state?: string;
}

/** The state directory that the command line names. Fault `bad-configuration` where the configuration cannot be read. */
export function locateState(options: StateOptions): string {
  return options.state ?? readConfigFile(options.config ?? DEFAULT_CONFIG_FILE).stateDirectory;
}
