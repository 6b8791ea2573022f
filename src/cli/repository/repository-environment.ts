import type { ProgramEnvironment } from "../../repository/program.ts";

/** What the repository programs read of the environment; the launchers let nothing else in. */
export interface RepositoryEnvironment {
  /** For repo-add and what it runs: neither GPGKEY nor LIBRARY, MAKEPKG_LIBRARY or COMPRESS*, which say what code runs. */
  readonly programs: ProgramEnvironment;
  readonly host: string | undefined;
  readonly publicKey: string | undefined;
  readonly clientConfig: string | undefined;
  readonly requester: string | undefined;
  readonly via: string | undefined;
  readonly sudoUser: string | undefined;
}

/** Where programs are looked for, whatever PATH the caller has. */
const PATH = "/usr/local/bin:/usr/bin:/bin";

const OF_PROGRAMS = ["TERM", "NO_COLOR", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TMPDIR"];

/** Takes what is needed; what is empty counts as not set. */
export function readRepositoryEnvironment(env: NodeJS.ProcessEnv): RepositoryEnvironment {
  const set = OF_PROGRAMS.flatMap((name) => (env[name] ? [[name, env[name]]] : []));
  const sudoUser = env["SUDO_USER"] || undefined;
  // Under sudo they would be the caller's, who is not to choose whose signature counts.
  const ours = (name: string) => (sudoUser === undefined ? env[name] || undefined : undefined);
  return {
    programs: { PATH, ...Object.fromEntries(set) },
    host: ours("SIGNER_HOST"),
    publicKey: ours("SIGNER_PUBLIC_KEY"),
    clientConfig: ours("SIGNER_CLIENT_CONFIG"),
    requester: ours("SIGNER_FOR"),
    via: ours("SIGNER_VIA"),
    sudoUser,
  };
}
