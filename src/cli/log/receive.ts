import { isAbsolute } from "node:path";
import type { Command } from "commander";
import { boundedLines } from "../../bounded-lines.ts";
import { LogCopy } from "../../log/copy/log-copy.ts";
import { receive } from "../../log/copy/receive.ts";
import { Fault, quoted, type Refusal, refusal } from "../../outcome.ts";
import { type ListeningPlace, listen } from "../listening-socket.ts";
import { inheritedSockets } from "../systemd-sockets.ts";
import type { LogTools } from "./log-tools.ts";
import { locateCopy } from "./state.ts";

const HELP = `
For authorized_keys on a log host; signer-log init prints the line. It speaks
the remote log's protocol on stdin and stdout, to a signing host.

With --http it is a service behind nginx, until SIGTERM ends it: nginx says whose
certificate may send (contrib/nginx), and passes connections on to the socket.
Whoever may connect there can send entries that the log's key has signed, and
read the whole copy: it is this account's, and that group's.

Example:
  signer-log --log repo receive --http /run/signer-log/http.socket --group www-data`;

/** `FileDescriptorName=` of the socket, where systemd opens it. */
const SOCKET_NAME = "http";

/** How long after its end the process waits for a sender that has not taken everything, in ms. */
const LINGER_MS = 250;

/** `signer-log receive`: the forced command of a log host, on stdin and stdout. */
export function addReceiveCommand(program: Command, tools: LogTools): void {
  program
    .command("receive")
    .description("on a log host: take in what a signing host sends, verify and cosign it")
    .option("--http <socket>", "listen at this path, or at the socket http that systemd has opened")
    .option("--group <group>", "with --http: who may connect beside this account; nginx's group")
    .addHelpText("after", HELP)
    .action(async (flags: ReceiveFlags) =>
      tools.finish(
        await (flags.http === undefined
          ? receiveCommand(tools, flags)
          : receiveOverHttp(tools, flags.http, flags.group)),
      ),
    );
}

interface ReceiveFlags {
  readonly http?: string;
  readonly group?: string;
}

async function receiveCommand(
  { where, sshOriginalCommand }: LogTools,
  { group }: ReceiveFlags,
): Promise<Refusal | undefined> {
  if (group !== undefined) return refusal("bad-request", "--group goes with --http");
  if (sshOriginalCommand !== undefined && !["", "receive"].includes(sshOriginalCommand))
    return refusal("bad-request", `expected no command, or receive, not ${quoted(sshOriginalCommand)}`);
  const directory = locateCopy(where());
  if (directory === undefined) return refusal("bad-request", "expected --log NAME, a copy on this host");
  if (process.stdin.isTTY)
    return refusal(
      "bad-request",
      "expected a signing host on standard input, not a terminal: sshd starts this",
    );
  try {
    return await receive({
      open: () => LogCopy.open(directory),
      source: process.stdin,
      sink: process.stdout,
      now: () => new Date(),
    });
  } finally {
    // A sender that takes nothing would keep the process for as long as it is connected: standard output cannot be destroyed.
    if (process.stdout.writableLength > 0) setTimeout(() => process.exit(), LINGER_MS).unref();
  }
}

/** `signer-log receive --http`: the receiver as a service. */
async function receiveOverHttp(
  { where, listening }: LogTools,
  path: string,
  group: string | undefined,
): Promise<Refusal | undefined> {
  const directory = locateCopy(where());
  if (directory === undefined) return refusal("bad-request", "expected --log NAME, a copy on this host");
  if (!isAbsolute(path))
    return refusal("bad-request", `--http: expected an absolute path, not ${quoted(path)}`);
  LogCopy.open(directory).close(); // what is wrong with it is said now, not to the first sender
  const stopped = stopSignal();
  process.stderr.on("error", () => undefined); // a line that nobody takes is lost, and nothing else
  const say = boundedLines((line) => void process.stderr.write(`signer-log: receive: ${line}\n`));
  const { HttpReceiver } = await import("../../log/copy/http-receiver.ts"); // node:http, which no other command needs
  const receiver = new HttpReceiver({ open: () => LogCopy.open(directory), now: () => new Date(), say });
  await listen(receiver.server, placeOf(path, group, listening));
  say(`ready for ${directory}`);
  await stopped;
  await receiver.close();
  return undefined;
}

function placeOf(path: string, group: string | undefined, listening: LogTools["listening"]): ListeningPlace {
  const inherited = listening === undefined ? new Map<string, number>() : inheritedSockets(listening);
  const fd = inherited.get(SOCKET_NAME);
  if (fd !== undefined) return { kind: "inherited", fd };
  if (inherited.size > 0)
    throw new Fault("bad-configuration", `expected FileDescriptorName=${SOCKET_NAME} in the socket unit`);
  return { kind: "path", path, group };
}

function stopSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve());
  return promise;
}
