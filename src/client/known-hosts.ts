import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { type HostKey, parseHostKey } from "../config/setting.ts";
import { Fault, quoted } from "../outcome.ts";

/** What known_hosts files say of one host. */
export interface KnownHost {
  readonly trusted: readonly HostKey[];
  readonly revoked: readonly HostKey[];
  /** A `@cert-authority` vouches for it. */
  readonly isCertified: boolean;
}

/**
 * Looks a host up by OpenSSH's own reader (`ssh-keygen -F`), in all files: hashed names, patterns and ports are its affair, and a
 * line that revokes a key counts wherever it stands.
 * @param knownAs `name` or `[name]:port`
 * @param files those that are missing know nobody
 * @throws Fault `bad-configuration` where a file cannot be read
 */
export async function lookUpHost(knownAs: string, files: readonly string[]): Promise<KnownHost> {
  const texts: string[] = [];
  for (const file of files) if (isThere(file)) texts.push(await find(knownAs, file));
  return parseKnownHost(texts.join("\n"));
}

/** Reads lines of known_hosts (sshd(8)) that are of one host; a line that is not understood trusts nobody. */
export function parseKnownHost(text: string): KnownHost {
  const trusted: HostKey[] = [];
  const revoked: HostKey[] = [];
  let isCertified = false;
  for (const line of text.split("\n")) {
    if (line.startsWith("#") || line.trim() === "") continue;
    const words = line.trim().split(/[ \t]+/);
    const marker = words[0]?.startsWith("@") ? words.shift() : undefined;
    const [, type, blob] = words;
    const key = parseHostKey(`${type} ${blob}`);
    if (marker === "@cert-authority") isCertified = true;
    else if (key === undefined) continue;
    else if (marker === undefined) trusted.push(key);
    else if (marker === "@revoked") revoked.push(key);
  }
  return { trusted, revoked, isCertified };
}

/** ssh-keygen finds nobody in a file it cannot read, and so would not find a key that is revoked there. */
function isThere(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw new Fault("bad-configuration", `${quoted(file, 200)} cannot be read`, { cause });
  }
}

function find(knownAs: string, file: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  execFile(
    "ssh-keygen",
    ["-F", knownAs, "-f", file],
    { encoding: "utf8", maxBuffer: 1024 * 1024, timeout: 10_000 },
    (error, stdout) => {
      if (error === null || error.code === 1) return resolve(stdout); // 1: nobody of that name stands in it
      const what = `${quoted(file, 200)} cannot be searched by ssh-keygen -F`;
      reject(new Fault("bad-configuration", what, { cause: error }));
    },
  );
  return promise;
}
