import type { Command } from "commander";
import { LogCopy } from "../../log/copy/log-copy.ts";
import { receive } from "../../log/copy/receive.ts";
import { quoted, type Refusal, refusal } from "../../outcome.ts";
import type { LogTools } from "./log-tools.ts";
import { locateCopy } from "./state.ts";

const HELP = `
For authorized_keys on a log host; signer-log init prints the line. It speaks
the remote log's protocol on stdin and stdout, to a signing host.`;

/** How long after its end the process waits for a sender that has not taken everything, in ms. */
const LINGER_MS = 250;

/** `signer-log receive`: the forced command of a log host, on stdin and stdout. */
export function addReceiveCommand(program: Command, tools: LogTools): void {
  program
    .command("receive")
    .description("on a log host: take in what a signing host sends, verify and cosign it")
    .addHelpText("after", HELP)
    .action(async () => tools.finish(await receiveCommand(tools)));
}

async function receiveCommand({ where, sshOriginalCommand }: LogTools): Promise<Refusal | undefined> {
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
