import { execFile } from "node:child_process";
import { userInfo } from "node:os";
import { Fault, quoted } from "../outcome.ts";
import type { SshClientConfig } from "./client-config.ts";

/** How a host is reached: what client.toml says, then what ssh_config does. */
export interface SshSettings {
  readonly hostName: string;
  readonly port: number;
  readonly user: string;
  /** Private keys, or public ones of an agent's keys; absolute paths; those of ssh_config need not exist. */
  readonly identities: readonly string[];
  /** Only keys in `identities` are tried, of an agent too. */
  readonly identitiesOnly: boolean;
  /** An agent's socket. */
  readonly agent: string | undefined;
  readonly knownHostsFiles: readonly string[];
  /** What known_hosts files know the host as: `name`, or `[name]:port` off port 22. */
  readonly knownAs: string;
}

/**
 * Evaluates ssh_config(5) for the host. OpenSSH does it itself (`ssh -G`): a parser of our own, or of a package, would have to agree
 * with it on Include, Match, patterns, the first value winning and tokens, or else reach another host than `ssh` does.
 * @throws Fault `bad-configuration`, also where a setting asks for what only `ssh_command` can
 */
export async function sshSettings(config: SshClientConfig): Promise<SshSettings> {
  const file = config.sshConfigFile === undefined ? [] : ["-F", config.sshConfigFile];
  const port = config.port === undefined ? [] : ["-p", String(config.port)];
  const user = config.user === undefined ? [] : ["-l", config.user];
  return parseSshSettings(await evaluate([...file, ...port, ...user], config.host), config, {
    home: userInfo().homedir,
    // Whoever started the client has an agent, or none: as of ssh itself.
    agent: process.env["SSH_AUTH_SOCK"],
  });
}

/** What the output of `ssh -G` says, one `keyword value` a line; `session` is of whoever runs the client. */
export function parseSshSettings(
  text: string,
  config: Pick<SshClientConfig, "host" | "identities" | "agent">,
  session: { readonly home: string; readonly agent: string | undefined },
): SshSettings {
  const values = Map.groupBy(
    text.split("\n").map((line) => /^(?<keyword>[a-z0-9]+) (?<value>.*)$/.exec(line)?.groups),
    (groups) => groups?.["keyword"] ?? "",
  );
  const all = (keyword: string) => (values.get(keyword) ?? []).map((groups) => groups?.["value"] ?? "");
  const one = (keyword: string) => all(keyword)[0];
  for (const keyword of ["proxyjump", "proxycommand", "certificatefile", "revokedhostkeys", "pkcs11provider"])
    if ((one(keyword) ?? "none") !== "none")
      throw new Fault(
        "bad-configuration",
        `ssh_config sets ${keyword} for ${quoted(config.host)}: only ssh itself does that, set ssh_command = ["ssh"]`,
      );
  const hostName = one("hostname");
  const port = Number(one("port"));
  const user = one("user");
  if (hostName === undefined || user === undefined || !(port > 0))
    throw new Fault("bad-configuration", `ssh -G says nothing of ${quoted(config.host)}`);
  const expand = (path: string) =>
    path
      .replace(/^~(?=\/)/, session.home)
      .replace(
        /%([%dhr])/g,
        (_, token: string) => ({ "%": "%", d: session.home, h: hostName, r: user })[token] ?? "",
      );
  const name = one("hostkeyalias") ?? hostName.toLowerCase();
  return {
    hostName,
    port,
    user,
    identities:
      config.identities ??
      all("identityfile")
        .filter((path) => path !== "none")
        .map(expand),
    identitiesOnly: config.identities !== undefined || one("identitiesonly") === "yes",
    agent: config.agent ?? agentOf(one("identityagent"), expand, session.agent),
    knownHostsFiles: ["userknownhostsfile", "globalknownhostsfile"]
      .flatMap((keyword) => (one(keyword) ?? "").split(" "))
      .filter((path) => path !== "" && path !== "none")
      .map(expand),
    knownAs: port === 22 || one("hostkeyalias") !== undefined ? name : `[${name}]:${port}`,
  };
}

function agentOf(
  identityAgent: string | undefined,
  expand: (path: string) => string,
  sessionAgent: string | undefined,
): string | undefined {
  if (identityAgent === "none") return undefined;
  if (identityAgent === undefined || identityAgent === "SSH_AUTH_SOCK") return sessionAgent || undefined;
  return identityAgent.startsWith("$") ? process.env[identityAgent.slice(1)] : expand(identityAgent);
}

function evaluate(args: readonly string[], host: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = execFile(
    "ssh",
    ["-G", ...args, "--", host],
    { encoding: "utf8", maxBuffer: 1024 * 1024, timeout: 10_000 },
    (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const what =
        (error as NodeJS.ErrnoException).code === "ENOENT"
          ? "ssh is not installed"
          : quoted(lastLine(stderr), 200);
      reject(new Fault("bad-configuration", `ssh_config cannot be evaluated: ${what}`, { cause: error }));
    },
  );
  child.stdin?.end();
  return promise;
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
