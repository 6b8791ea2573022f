/** The environment variables that a program of ours reads; the launchers let no others in. */
export interface Environment {
  readonly sshOriginalCommand: string | undefined;
  readonly sshConnection: string | undefined;
  readonly sshUserAuth: string | undefined;
  readonly credentialsDirectory: string | undefined;
  /** What systemd says of the sockets that it has opened for a service (sd_listen_fds(3)). */
  readonly listenPid: string | undefined;
  readonly listenFds: string | undefined;
  readonly listenFdNames: string | undefined;
  /** A pipe whose lines the launcher passes to the service manager (sd_notify(3)). */
  readonly notifyPipe: string | undefined;
  /** How often the service manager wants to hear of the service, in microseconds. */
  readonly watchdogUsec: string | undefined;
  /** `ask` where the launcher wants to know the flags of a service's fence, and starts it with them itself. */
  readonly fence: string | undefined;
}

/** The variables of a service: what one of ours needs when it starts itself anew. */
export const SERVICE_VARIABLES = {
  credentialsDirectory: "CREDENTIALS_DIRECTORY",
  listenPid: "LISTEN_PID",
  listenFds: "LISTEN_FDS",
  listenFdNames: "LISTEN_FDNAMES",
  notifyPipe: "NOTIFY_PIPE",
  watchdogUsec: "WATCHDOG_USEC",
} as const;

/** Takes what is needed from the environment and empties it: nothing later in the process can be steered by it. */
export function takeEnvironment(): Environment {
  const { env } = process;
  const taken = {
    sshOriginalCommand: env["SSH_ORIGINAL_COMMAND"],
    sshConnection: env["SSH_CONNECTION"],
    sshUserAuth: env["SSH_USER_AUTH"],
    credentialsDirectory: env[SERVICE_VARIABLES.credentialsDirectory],
    listenPid: env[SERVICE_VARIABLES.listenPid],
    listenFds: env[SERVICE_VARIABLES.listenFds],
    listenFdNames: env[SERVICE_VARIABLES.listenFdNames],
    notifyPipe: env[SERVICE_VARIABLES.notifyPipe],
    watchdogUsec: env[SERVICE_VARIABLES.watchdogUsec],
    fence: env["FENCE"],
  };
  for (const name of Object.keys(env)) delete env[name];
  return taken;
}
