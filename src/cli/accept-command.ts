import type { Config } from "../config/config.ts";
import { Fault } from "../outcome.ts";
import type { AcceptArguments } from "./accept-arguments.ts";
import type { Environment } from "./environment.ts";
import { say } from "./run.ts";

/** As rules name clients (signer.toml, `client`). */
const CLIENT_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

/**
 * `signer accept`: answers the call that sshd hands over, on stdin and stdout, or passes it to the signing service. Returns
 * the exit status. Each mode loads what it needs: a relay has no use for a log.
 */
export async function acceptCommand(
  { client, config: configFile, socket }: AcceptArguments,
  environment: Environment,
): Promise<number> {
  try {
    if (!CLIENT_NAME.test(client))
      throw new Fault("bad-configuration", "--client: expected 1 to 64 characters of a-z, 0-9, _ and -");
    if (socket !== undefined) return await relayTo(socket, environment);
    const { readConfigFile } = await import("../config/config-file.ts");
    const config = readConfigFile(configFile);
    if (config.mode === "split") return await relayTo(await socketOf(config, client), environment);
    const { acceptStandalone } = await import("./accept-standalone.ts");
    return await acceptStandalone(config, client, environment);
  } catch (error) {
    if (error instanceof Fault) return say("signer", error.code, error.message);
    // What a bug had to say is not for the client.
    return say("signer", "internal", "an unexpected error; the journal has it");
  }
}

async function socketOf(config: Config, client: string): Promise<string> {
  const { clientSocket } = await import("../service/client-socket.ts");
  return clientSocket(config.service, client);
}

async function relayTo(socket: string, environment: Environment): Promise<number> {
  const { acceptByRelay } = await import("./accept-by-relay.ts");
  return await acceptByRelay(socket, environment);
}
