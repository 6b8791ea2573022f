import { runOk } from "./run.ts";

/** The values of a setting in a unit file, in order: `SystemCallFilter=` stands there several times. */
export function settingsOf(unit: string, name: string): readonly string[] {
  return unit
    .split("\n")
    .flatMap((line) => (line.startsWith(`${name}=`) ? [line.slice(name.length + 1)] : []));
}

/** The system calls that a unit's `SystemCallFilter=` lets through (systemd.exec(5)), its groups as systemd-analyze knows them. */
export async function allowedSystemCalls(unit: string): Promise<ReadonlySet<string>> {
  const groups = await systemCallGroups();
  const expand = (name: string): readonly string[] => {
    if (!name.startsWith("@")) return [name];
    const members = groups.get(name);
    if (members === undefined) throw new Error(`systemd knows no group ${name}`);
    return members.flatMap(expand);
  };
  const allowed = new Set<string>(expand("@default"));
  for (const value of settingsOf(unit, "SystemCallFilter")) {
    const isDenied = value.startsWith("~");
    for (const call of value.replace("~", "").split(" ").flatMap(expand))
      if (isDenied) allowed.delete(call);
      else allowed.add(call);
  }
  return allowed;
}

async function systemCallGroups(): Promise<ReadonlyMap<string, readonly string[]>> {
  const groups = new Map<string, string[]>();
  let members: string[] = [];
  for (const line of (await runOk("systemd-analyze", ["syscall-filter", "--no-pager"]))
    .toString()
    .split("\n")) {
    const text = line.trim();
    if (/^@/.test(line)) {
      members = [];
      groups.set(text, members);
    } else if (text !== "" && !text.startsWith("#")) members.push(text);
  }
  return groups;
}
