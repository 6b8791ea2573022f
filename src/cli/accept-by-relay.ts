import { isBatchCommand } from "../request/request.ts";
import { relay } from "../service/relay.ts";
import type { Environment } from "./environment.ts";
import { say } from "./run.ts";
import { openStdin, openStdout, readPeer } from "./sshd-call.ts";

/** The forced command of split mode: passes the call to the service behind the client's socket. Returns the exit status. */
export async function acceptByRelay(socket: string, environment: Environment): Promise<number> {
  const command = environment.sshOriginalCommand;
  const peer = readPeer(environment);
  const outcome = await relay(
    socket,
    { command, address: peer?.address, sshKey: peer?.sshKey },
    { stdin: openStdin(), stdout: isBatchCommand(command) ? openStdout() : process.stdout },
  );
  return outcome.kind === "answered" ? 0 : say("signer", outcome.code, outcome.reason);
}
