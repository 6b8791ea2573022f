import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Mode } from "../config/config.ts";
import { quoted } from "../outcome.ts";
import type { Account } from "./account.ts";
import { authorizedKeysFiles, parseAuthorizedKeys } from "./authorized-keys.ts";
import { checkAuthorizedKeys } from "./check-authorized-keys.ts";
import { type Finding, note, ok, problem, warning } from "./finding.ts";

const SSHD = "/usr/sbin/sshd";
/** Shells that run nothing. */
const NO_SHELL = /\/(?:nologin|false)$/;
const TIMEOUT_MS = 10_000;

/** Settings of sshd_config(5) that a signing account should have, by what `sshd -T` prints. */
const WANTED: readonly (readonly [setting: string, value: string, why: string])[] = [
  ["exposeauthinfo", "yes", "entries then say which SSH key logged in"],
  ["permituserrc", "no", "~/.ssh/rc would run before signer does"],
  ["permittty", "no", "a signature is no text"],
  ["disableforwarding", "yes", "nothing is forwarded through this host"],
];

/**
 * What sshd will do for the account, asked of sshd itself. A ForceCommand replaces the `command=` of authorized_keys, and
 * with it the `--client` that the rules go by.
 * @param isFetched see {@link checkAuthorizedKeys}
 */
export function checkSshd(
  account: Account,
  configFile: string,
  clients: ReadonlySet<string>,
  mode: Mode,
  isFetched = false,
): readonly Finding[] {
  const settings = askSshd(account.name, configFile);
  const shell = checkShell(account);
  if (typeof settings === "string")
    return [...shell, note("sshd", `sshd -T says nothing about ${account.name}: ${settings}`)];
  return [
    ...shell,
    ...checkForcedCommand(account, settings, { clients, mode, isFetched }),
    ...WANTED.filter(([setting, value]) => settings.get(setting) !== value).map(([setting, value, why]) =>
      note("sshd", `${setting} ${value} is advised for ${account.name}: ${why}`),
    ),
  ];
}

function checkShell({ name, shell }: Account): readonly Finding[] {
  if (!NO_SHELL.test(shell)) return [];
  const text = `the shell of ${name} is ${shell}, and sshd runs the forced command with it: usermod --shell /bin/sh ${name}`;
  return [problem("sshd", "bad-configuration", text)];
}

function checkForcedCommand(
  account: Account,
  settings: ReadonlyMap<string, string>,
  { clients, mode, isFetched }: { clients: ReadonlySet<string>; mode: Mode; isFetched: boolean },
): readonly Finding[] {
  const forced = settings.get("forcecommand") ?? "none";
  if (forced !== "none" && !/\baccept\b.*--client[ =]\S/.test(forced))
    return [
      problem(
        "sshd",
        "bad-configuration",
        `ForceCommand replaces command= of authorized_keys for ${account.name}: remove it, or give it --client`,
      ),
    ];
  if (forced !== "none")
    return [
      warning(
        "sshd",
        `ForceCommand for ${account.name} names one client for every SSH key: command= of authorized_keys is ignored`,
      ),
    ];
  return [
    ok("sshd", `no ForceCommand replaces command= for ${account.name}`),
    ...checkAuthorizedKeys(settings.get("authorizedkeysfile") ?? "none", account, clients, mode, isFetched),
  ];
}

/** Who logs into the account that signs in split mode gets at the keys, whatever the key's command is: nobody is to. */
export function checkServiceLogin(account: Account, configFile: string): readonly Finding[] {
  const settings = askSshd(account.name, configFile);
  if (typeof settings === "string") return [];
  const files = authorizedKeysFiles(settings.get("authorizedkeysfile") ?? "none", account);
  const withKeys = files.filter((file) => hasKeys(file));
  return withKeys.length === 0
    ? [ok("sshd", `no SSH key logs into ${account.name}, the account that signs`)]
    : [
        problem(
          "sshd",
          "bad-configuration",
          `${withKeys.join(", ")}: SSH keys log into ${account.name}, the account that signs: move them to the clients' accounts`,
        ),
      ];
}

function hasKeys(file: string): boolean {
  try {
    return parseAuthorizedKeys(readFileSync(file, "latin1")).length > 0;
  } catch {
    return false;
  }
}

/** The settings that apply, or why sshd does not say: it wants root, its host keys and a configuration without mistakes. */
function askSshd(account: string, configFile: string): ReadonlyMap<string, string> | string {
  try {
    const connection = `user=${account},host=localhost,addr=127.0.0.1`;
    const text = execFileSync(SSHD, ["-T", "-f", configFile, "-C", connection], {
      encoding: "utf8",
      stdio: "pipe",
      timeout: TIMEOUT_MS,
    });
    return new Map(
      text.split("\n").map((line) => {
        const [setting = "", ...value] = line.split(" ");
        return [setting, value.join(" ")];
      }),
    );
  } catch (error) {
    const { stderr, code } = error as { readonly stderr?: string; readonly code?: string };
    const [firstLine = ""] = (stderr ?? "").split("\n");
    return firstLine === "" ? `it cannot be run (${code ?? "unknown"})` : quoted(firstLine.trimEnd(), 120);
  }
}
