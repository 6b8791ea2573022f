import { readFileSync } from "node:fs";
import { Fault, quoted } from "../outcome.ts";

/** The groups of this machine (group(5)). A service that may start no program cannot ask getent(1) for others. */
const GROUP_FILE = "/etc/group";
/** A group's number; 2^32 - 1 means "no change" to chown(2). */
const MAX_GROUP_ID = 2 ** 32 - 2;

/**
 * The number of a group, given its name or its number. Fault `bad-configuration` for a name that the file does not have.
 * @param file in the form of group(5)
 */
export function groupIdOf(nameOrId: string, file: string = GROUP_FILE): number {
  const given = parseGroupId(nameOrId);
  if (given !== undefined) return given;
  const found = findGroup(readGroups(file), nameOrId);
  if (found === undefined)
    throw new Fault("bad-configuration", `there is no group ${quoted(nameOrId)} in ${file}`);
  return found;
}

/** The number of the first group of that name in the text of a group file; undefined for none, or a number that is none. */
export function findGroup(groups: string, name: string): number | undefined {
  for (const line of groups.split("\n")) {
    const [found, , id = ""] = line.split(":");
    if (found === name) return parseGroupId(id);
  }
  return undefined;
}

function parseGroupId(text: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]{0,9})$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_GROUP_ID ? id : undefined;
}

function readGroups(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new Fault("bad-configuration", `${file} cannot be read`, { cause });
  }
}
