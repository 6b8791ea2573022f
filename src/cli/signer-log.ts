import type { Refusal } from "../outcome.ts";
import { runLogProgram } from "./log/log-program.ts";
import { Output } from "./log/output.ts";
import { showProgress } from "./log/progress.ts";
import { run, say } from "./run.ts";

/** What of the environment says how to print, what sshd was asked for, and which sockets systemd has opened; the launcher lets little else in. */
const { NO_COLOR, TERM, COLUMNS, SSH_ORIGINAL_COMMAND, LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = process.env;
const { stdout, stderr } = process;

const output = new Output(stdout, {
  columns: stdout.isTTY ? stdout.columns || Number(COLUMNS) || 80 : undefined,
  // https://no-color.org: set, and not empty.
  colour: stdout.isTTY && !NO_COLOR && TERM !== "dumb",
});

const onProgress = stderr.isTTY
  ? showProgress(
      (text) => void stderr.write(text),
      () => performance.now(),
    )
  : undefined;

const complain = ({ code, reason }: Refusal): number => say("signer-log", code, reason);

const note = (text: string): void => void stderr.write(`signer-log: ${text}\n`);

void run("signer-log", () =>
  runLogProgram(process.argv.slice(2), {
    output,
    now: new Date(),
    onProgress,
    complain,
    note,
    sshOriginalCommand: SSH_ORIGINAL_COMMAND,
    listening: { listenPid: LISTEN_PID, listenFds: LISTEN_FDS, listenFdNames: LISTEN_FDNAMES },
  }),
);
