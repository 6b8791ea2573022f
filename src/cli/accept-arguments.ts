import { DEFAULT_CONFIG_FILE } from "../config/config.ts";

/** The command line of the forced command. */
export interface AcceptArguments {
  readonly client: string;
  readonly config: string;
  /** The signing service's socket; undefined: the configuration says who signs. */
  readonly socket: string | undefined;
}

/**
 * Reads `accept --client NAME [--config FILE] [--socket PATH]` and `--config FILE accept --client NAME`: the forms that authorized_keys has,
 * on the path of every signature, where loading a whole command line costs as much as all the rest. Undefined for
 * every other form, help and mistakes included: the program's own command line reads those.
 */
export function parseAcceptArguments(argv: readonly string[]): AcceptArguments | undefined {
  const words = [...argv];
  const config = takeOption(words, "--config") ?? DEFAULT_CONFIG_FILE;
  if (words.shift() !== "accept") return undefined;
  const client = takeOption(words, "--client");
  const socket = takeOption(words, "--socket");
  return client === undefined || words.length > 0 ? undefined : { client, config, socket };
}

/** Removes `option VALUE` from the words; a value that looks like an option is none. */
function takeOption(words: string[], option: string): string | undefined {
  const index = words.indexOf(option);
  const value = index === -1 ? undefined : words[index + 1];
  if (value === undefined || value === "" || value.startsWith("-")) return undefined;
  words.splice(index, 2);
  return value;
}
