import type { Config } from "../../src/config/config.ts";
import { ConfigFault, parseConfig } from "../../src/config/parse-config.ts";

/** The smallest configuration there is, of one client, `repos`, with `text` behind it. */
export function readWith(text: string): Config {
  return parseConfig(`origin = "signer.example.org/repo"
state = "/var/lib/signer"
[keys.repo]
file = "/etc/signer/repo.key"
[[rules]]
id = "db"
client = "repos"
type = "db"
key = "repo"
${text}`);
}

/** What is wrong with it; empty where nothing is. */
export function problemsWith(text: string): readonly string[] {
  try {
    readWith(text);
  } catch (error) {
    if (error instanceof ConfigFault) return error.problems;
    throw error;
  }
  return [];
}
