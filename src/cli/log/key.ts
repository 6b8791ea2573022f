import type { Command } from "commander";
import { encodeVerifierKey } from "../../log/signed-note.ts";
import type { LogTools } from "./log-tools.ts";
import { printCheckpoint } from "./verify.ts";

/** `signer-log checkpoint` and `signer-log key`: what others keep to hold the log against. */
export function addKeyCommands(program: Command, { withLog, output }: LogTools): void {
  program
    .command("checkpoint")
    .description("print the newest signed checkpoint (C2SP tlog-checkpoint): keep it elsewhere")
    .action(() =>
      withLog(async (reader) => {
        await printCheckpoint(reader, output);
        return undefined;
      }),
    );

  program
    .command("key")
    .description("print the key that verifies checkpoints, in the form that C2SP tools take")
    .action(() =>
      withLog(async (reader) => {
        await output.line(encodeVerifierKey(reader.heldVerifier() ?? reader.statedVerifier()));
        await output.flush();
        return undefined;
      }),
    );
}
