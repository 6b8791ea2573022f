import { readFileSync } from "node:fs";
import type { Mode } from "../config/config.ts";
import { quoted } from "../outcome.ts";
import type { Account } from "./account.ts";
import { type AuthorizedKey, authorizedKeysFiles, parseAuthorizedKeys } from "./authorized-keys.ts";
import { type Finding, note, ok, problem, warning } from "./finding.ts";

/**
 * What each SSH key may do that sshd lets into the account: one without `command=` has the account, and in standalone mode the
 * signing key with it.
 * @param setting AuthorizedKeysFile, as `sshd -T` prints it
 * @param clients that the rules name
 * @param isFetched whether `signer pull` asks for all that this account is for: then no SSH key need log in
 */
export function checkAuthorizedKeys(
  setting: string,
  account: Account,
  clients: ReadonlySet<string>,
  mode: Mode,
  isFetched = false,
): readonly Finding[] {
  const files = authorizedKeysFiles(setting, account);
  const found = files.flatMap((file) => {
    const text = readText(file);
    return text === undefined ? [] : [{ file, text }];
  });
  if (found.some(({ text }) => text === "unreadable"))
    return [note("sshd", `${files.join(", ")} cannot be read: run check as root`)];
  if (found.length === 0)
    return isFetched
      ? [ok("sshd", `no SSH key may log into ${account.name}: signer pull asks in its place`)]
      : [warning("sshd", `no SSH key may log into ${account.name}: expected ${files.join(" or ")}`)];
  const findings = found.flatMap(({ file, text }) =>
    parseAuthorizedKeys(text).flatMap((key) =>
      checkKey(`${file} line ${key.line}`, key, account, clients, mode),
    ),
  );
  return findings.length > 0
    ? findings
    : [ok("sshd", `each SSH key in ${files.join(", ")} runs signer accept`)];
}

function checkKey(
  where: string,
  { command, isRestricted }: AuthorizedKey,
  account: Account,
  clients: ReadonlySet<string>,
  mode: Mode,
): readonly Finding[] {
  if (command === undefined)
    return [
      problem(
        "sshd",
        "bad-configuration",
        `${where}: without command= this SSH key may do all that ${account.name} may, ${mode === "standalone" ? "and read the keys" : "and claim any address"}`,
      ),
    ];
  const [, client] = /\baccept\b.*--client[= ]+(\S+)/.exec(command) ?? [];
  return [
    ...(client === undefined
      ? [warning("sshd", `${where}: command= is not signer accept --client NAME`)]
      : clients.has(client)
        ? []
        : [warning("sshd", `${where}: no rule names the client ${quoted(client)}`)]),
    ...(isRestricted
      ? []
      : [warning("sshd", `${where}: restrict is missing: forwarding and the like are open`)]),
  ];
}

/** Undefined where there is no such file. */
function readText(file: string): string | "unreadable" | undefined {
  try {
    return readFileSync(file, "latin1");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR" ? undefined : "unreadable";
  }
}
