/** The environment variables that a program of ours reads; the launchers let no others in. */
export interface Environment {
  readonly sshOriginalCommand: string | undefined;
  readonly sshConnection: string | undefined;
  readonly sshUserAuth: string | undefined;
  readonly credentialsDirectory: string | undefined;
}

/** Takes what is needed from the environment and empties it: nothing later in the process can be steered by it. */
export function takeEnvironment(): Environment {
  const { env } = process;
  const taken = {
    sshOriginalCommand: env["SSH_ORIGINAL_COMMAND"],
    sshConnection: env["SSH_CONNECTION"],
    sshUserAuth: env["SSH_USER_AUTH"],
    credentialsDirectory: env["CREDENTIALS_DIRECTORY"],
  };
  for (const name of Object.keys(env)) delete env[name];
  return taken;
}
