import { constants } from "node:os";
import { runClientProgram } from "./client/client-program.ts";
import { showTransfer } from "./client/transfer-progress.ts";
import { run, say } from "./run.ts";

const NAME = "signer-client";
const ENDING = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

const { env, stdin, stdout, stderr } = process;
const ended = new AbortController();
let endedBy: (typeof ENDING)[number] | undefined;
for (const signal of ENDING)
  process.on(signal, () => {
    endedBy ??= signal;
    ended.abort();
  });
stderr.on("error", () => undefined); // nobody listens any more: the exit status still says it

const isWatched = stderr.isTTY && env["TERM"] !== "dumb";
void run(NAME, async () => {
  try {
    return await runClientProgram(process.argv.slice(2), {
      environment: {
        host: env["SIGNER_HOST"] || undefined,
        publicKey: env["SIGNER_PUBLIC_KEY"] || undefined,
        configFile: env["SIGNER_CLIENT_CONFIG"] || undefined,
        requester: env["SIGNER_FOR"] || undefined,
        via: env["SIGNER_VIA"] || undefined,
      },
      stdin,
      stdout,
      complain: ({ code, reason }) => say(NAME, code, reason),
      note: (text) => void stderr.write(`${NAME}: ${text}\n`),
      showTransfer: isWatched
        ? () =>
            showTransfer(
              (text) => void stderr.write(text),
              () => performance.now(),
            )
        : undefined,
      signal: ended.signal,
    });
  } catch (error) {
    if (endedBy === undefined) throw error;
    stderr.write(`${NAME}: ended by ${endedBy}: nothing was written\n`);
    return 128 + constants.signals[endedBy]; // as a shell says it
  } finally {
    stdin.destroy(); // a stream that nobody reads to its end keeps the process
  }
});
