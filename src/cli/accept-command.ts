import { createReadStream, fstatSync, readFileSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { type Answer, accept } from "../accept.ts";
import { readConfigFile } from "../config/config-file.ts";
import { type Journal, NO_JOURNAL, openJournal } from "../journal.ts";
import { Ledger } from "../log/ledger.ts";
import { Fault } from "../outcome.ts";
import { reply, replyBatch, replyText } from "../reply.ts";
import { type Peer, parseAuthInfo, parseConnection } from "../request/peer.ts";
import type { Environment } from "./environment.ts";
import { openHost } from "./open-host.ts";
import { openRemoteLogs } from "./open-remote-logs.ts";
import { say } from "./run.ts";

/** What a file on stdin is read by, in bytes; a pipe gives what it has. */
const FILE_CHUNK_BYTES = 256 * 1024;

/** As rules name clients (signer.toml, `client`). */
const CLIENT_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

/** `signer accept`: answers the call that sshd hands over, on stdin and stdout. Returns the exit status. */
export async function acceptCommand(
  configFile: string,
  client: string,
  environment: Environment,
): Promise<number> {
  let journal: Journal = NO_JOURNAL;
  try {
    if (!CLIENT_NAME.test(client))
      throw new Fault("bad-configuration", "--client: expected 1 to 64 characters of a-z, 0-9, _ and -");
    const config = readConfigFile(configFile);
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
    if (error instanceof Fault) return say("signer", error.code, error.message);
    // What a bug had to say is not for the client.
    return say("signer", "internal", "an unexpected error; the journal has it");
  }
}

/** `maxWaitMs`: how long a client may leave the signatures of a batch unread. */
async function send(answer: Answer, maxWaitMs: number): Promise<number> {
  switch (answer.kind) {
    case "refusal":
      return say("signer", answer.code, answer.reason);
    case "text":
      await replyText(process.stdout, answer.text);
      return 0;
    case "signature":
      await reply(process.stdout, answer.receipt);
      return 0;
    case "batch": {
      const refused = await replyBatch(openStdout(), answer.files, maxWaitMs);
      return refused === undefined ? 0 : say("signer", refused.code, refused.reason);
    }
  }
}

function readPeer({ sshConnection, sshUserAuth }: Environment): Peer | undefined {
  const address = parseConnection(sshConnection);
  return (
    address && {
      address,
      sshKey: sshUserAuth === undefined ? undefined : parseAuthInfo(readAuthInfo(sshUserAuth)),
    }
  );
}

/** The file that sshd writes for each session; not there (ExposeAuthInfo no), there is nothing to say about the key. */
function readAuthInfo(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function openStdin(): Readable {
  if (!fstatSync(0).isFile()) return process.stdin;
  return createReadStream("", { fd: 0, autoClose: false, highWaterMark: FILE_CHUNK_BYTES });
}

/** `process.stdout` stops the whole process where a pipe is full and nobody reads: no deadline would ever be met. */
function openStdout(): Writable {
  const stdout = fstatSync(1);
  if (!stdout.isFIFO() && !stdout.isSocket()) return process.stdout;
  return new Socket({ fd: 1, readable: false, writable: true });
}
