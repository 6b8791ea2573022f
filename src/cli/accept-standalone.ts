import { type Answer, accept } from "../accept.ts";
import type { Config } from "../config/config.ts";
import { type Journal, NO_JOURNAL, openJournal } from "../journal.ts";
import { Ledger } from "../log/ledger.ts";
import { Fault } from "../outcome.ts";
import { deliver } from "../reply.ts";
import type { Environment } from "./environment.ts";
import { openHost } from "./open-host.ts";
import { openRemoteLogs } from "./open-remote-logs.ts";
import { say } from "./run.ts";
import { openStdin, openStdout, readPeer } from "./sshd-call.ts";

/** The forced command of standalone mode: opens everything for one call, and signs. Returns the exit status. */
export async function acceptStandalone(
  config: Config,
  client: string,
  environment: Environment,
): Promise<number> {
  let journal: Journal = NO_JOURNAL;
  try {
    journal = await openJournal(config.journalFile);
    const ledger = Ledger.open(config.stateDirectory, { origin: config.origin });
    const remoteLogs = await openRemoteLogs(config, ledger, journal);
    try {
      const host = openHost(config, ledger, remoteLogs, journal, environment.credentialsDirectory);
      const call = { client, command: environment.sshOriginalCommand, peer: readPeer(environment) };
      return await send(await accept(host, call, openStdin()), config.deadlines.idleMs);
    } finally {
      await remoteLogs.finish();
      ledger.close();
    }
  } catch (error) {
    journal.error({ err: error, client }, error instanceof Fault ? error.code : "internal");
    throw error;
  }
}

async function send(answer: Answer, maxWaitMs: number): Promise<number> {
  // What is not a batch fits into any pipe, or is waited for by nobody else.
  const isBatch = answer.kind === "batch";
  const refused = await deliver(
    isBatch ? openStdout() : process.stdout,
    answer,
    isBatch ? maxWaitMs : undefined,
  );
  return refused === undefined ? 0 : say("signer", refused.code, refused.reason);
}
