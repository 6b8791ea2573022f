import { readConfigFile } from "../config/config-file.ts";
import { Ledger } from "../log/ledger.ts";

/** `signer clock accept`: logs that the clock is right although the last entry lies after it. Returns the exit status. */
export async function clockAcceptCommand(configFile: string): Promise<number> {
  const config = readConfigFile(configFile);
  const ledger = Ledger.open(config.stateDirectory, { origin: config.origin });
  try {
    const entry = await ledger.acceptClock(new Date());
    process.stdout.write(
      entry === undefined
        ? "the clock is not behind the log: nothing to accept\n"
        : `accepted as entry ${entry.seq}: limits count from ${entry.time} on\n`,
    );
    return 0;
  } finally {
    ledger.close();
  }
}
