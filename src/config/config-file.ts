import { readFileSync } from "node:fs";
import { Fault } from "../outcome.ts";
import type { Config } from "./config.ts";
import { parseConfig } from "./parse-config.ts";

/** A configuration of a thousand rules is a tenth of this. */
const MAX_CONFIG_BYTES = 1024 * 1024;

/**
 * Reads and checks the configuration file.
 * @throws Fault `bad-configuration` where it is missing, unreadable, too large, not UTF-8 or wrong
 */
export function readConfigFile(file: string): Config {
  return parseConfig(readText(file));
}

function readText(file: string): string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const what = code === "ENOENT" ? "is missing: signer init makes one" : `cannot be read (${code})`;
    throw new Fault("bad-configuration", `the configuration ${file} ${what}`, { cause: error });
  }
  if (bytes.length > MAX_CONFIG_BYTES) throw new Fault("bad-configuration", `${file} is larger than 1 MiB`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new Fault("bad-configuration", `${file} is not UTF-8`, { cause: error });
  }
}
