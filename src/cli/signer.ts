import { parseAcceptArguments } from "./accept-arguments.ts";
import { acceptCommand } from "./accept-command.ts";
import { takeEnvironment } from "./environment.ts";
import { run } from "./run.ts";

const environment = takeEnvironment();
const argv = process.argv.slice(2);
const accept = parseAcceptArguments(argv);

void run("signer", async () => {
  if (accept !== undefined) return await acceptCommand(accept, environment);
  const { runProgram } = await import("./signer-program.ts");
  return await runProgram(argv, environment);
});
