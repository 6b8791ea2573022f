import { execFileSync } from "node:child_process";
import { quoted } from "../outcome.ts";
import type { Account } from "./account.ts";
import { type Finding, note, ok, problem, warning } from "./finding.ts";

const SSHD = "/usr/sbin/sshd";
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
 */
export function checkSshd({ name: account }: Account, configFile: string): readonly Finding[] {
  const settings = askSshd(account, configFile);
  if (typeof settings === "string")
    return [note("sshd", `sshd -T says nothing about ${account}: ${settings}`)];
  const forced = settings.get("forcecommand") ?? "none";
  if (forced !== "none" && !/\baccept\b.*--client[ =]\S/.test(forced))
    return [
      problem(
        "sshd",
        "bad-configuration",
        `ForceCommand replaces command= of authorized_keys for ${account}: remove it, or give it --client`,
      ),
    ];
  const missing = WANTED.filter(([setting, value]) => settings.get(setting) !== value);
  return [
    ...(forced === "none"
      ? [ok("sshd", `no ForceCommand replaces command= for ${account}`)]
      : [
          warning(
            "sshd",
            `ForceCommand for ${account} names one client for every SSH key: command= of authorized_keys is ignored`,
          ),
        ]),
    ...missing.map(([setting, value, why]) =>
      note("sshd", `${setting} ${value} is advised for ${account}: ${why}`),
    ),
  ];
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
