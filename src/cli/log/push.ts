import type { Command } from "commander";
import type {
  Config,
  LogHostSource,
  RemoteLogSource,
  SyslogRemoteLog as SyslogSource,
} from "../../config/config.ts";
import { readConfigFile } from "../../config/config-file.ts";
import { openJournal } from "../../journal.ts";
import { Ledger } from "../../log/ledger.ts";
import { OtherSideSaid } from "../../log/remote/remote-log-fault.ts";
import { Fault, type Refusal, refusal } from "../../outcome.ts";
import type { LogTools } from "./log-tools.ts";
import { coloured, type Output } from "./output.ts";
import { configFile } from "./state.ts";

/** What became of one remote log. */
interface Pushed {
  readonly name: string;
  /** Entries that were sent now. */
  readonly sent: number;
  /** Entries that it has, as far as is known. */
  readonly holds: number;
  readonly cosignedAt: Date | undefined;
  /** Why the rest is not there. */
  readonly fault: Fault | undefined;
}

const HELP = `
What was signed while a remote log was not required and did not answer waits for
the next request; this sends it now, and what was refused as well. Run it as the
account that signs. Each remote log is tried, whatever becomes of the others.`;

/** `signer-log push`: sends each configured remote log what it lacks. */
export function addPushCommand(program: Command, tools: LogTools): void {
  program
    .command("push")
    .description("send each remote log what it lacks, and wait for the acknowledgements")
    .addHelpText("after", HELP)
    .action(async () => tools.finish(await pushCommand(tools)));
}

async function pushCommand({ where, output }: LogTools): Promise<Refusal | undefined> {
  const file = configFile(where());
  const config = readConfigFile(file);
  if (config.remoteLogs.length === 0)
    return refusal("bad-request", `expected a [[remote_log]] in ${file}: there is none to send to`);
  const ledger = Ledger.open(config.stateDirectory, { origin: config.origin });
  try {
    const size = ledger.queries.newest().seq + 1;
    const pushed = await Promise.all(config.remoteLogs.map((source) => push(source, size, config, ledger)));
    await print(pushed, size, output);
    const faults = pushed.flatMap(({ fault }) => fault ?? []);
    // A broken log is worse than a remote log that does not answer.
    const [first] = faults.toSorted(
      (a, b) => Number(b.code === "log-broken") - Number(a.code === "log-broken"),
    );
    if (first !== undefined) throw new Fault(first.code, describe(first), { cause: first });
  } finally {
    ledger.close();
  }
  return undefined;
}

async function push(source: RemoteLogSource, size: number, config: Config, ledger: Ledger): Promise<Pushed> {
  switch (source.kind) {
    case "ssh":
    case "https":
      return await pushToLogHost(source, size, config, ledger);
    case "syslog":
      return await pushToCollector(source, size, ledger);
  }
}

async function pushToLogHost(
  source: LogHostSource,
  size: number,
  config: Config,
  ledger: Ledger,
): Promise<Pushed> {
  const { acknowledgedBy, CosignedRemoteLog } = await import("../../log/remote/cosigned-remote-log.ts");
  const { stateDirectory } = config;
  const journal = await openJournal(config.journalFile);
  const log = new CosignedRemoteLog(source, { ledger, stateDirectory, journal });
  const fault = await faultOf(log.catchUp(size));
  await log.close();
  const newest = log.acknowledged ?? acknowledgedBy(source.witness, ledger);
  const { name } = source;
  const holds = newest?.checkpoint.size ?? 0;
  return { name, sent: log.sent, holds, cosignedAt: newest?.cosignedAt, fault };
}

async function pushToCollector(source: SyslogSource, size: number, ledger: Ledger): Promise<Pushed> {
  const { SyslogConnection } = await import("../../log/remote/syslog-connection.ts");
  const { SyslogRemoteLog } = await import("../../log/remote/syslog-remote-log.ts");
  const { name } = source;
  const log = new SyslogRemoteLog(source, ledger, { connect: (to) => new SyslogConnection(to) });
  const before = log.entries;
  const fault = await faultOf(log.catchUp(size));
  await log.close();
  const holds = log.entries;
  return { name, sent: holds - before, holds, cosignedAt: undefined, fault };
}

async function faultOf(work: Promise<void>): Promise<Fault | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

async function print(pushed: readonly Pushed[], size: number, output: Output): Promise<void> {
  const rows = pushed.map(({ name, sent, holds, cosignedAt, fault }) => [
    name,
    String(sent),
    `${holds} of ${size}`,
    cosignedAt?.toISOString().replace(".000Z", "Z") ?? "-",
    fault === undefined ? "" : "FAILED",
  ]);
  const table = [["REMOTE LOG", "SENT", "HOLDS", "COSIGNED", ""], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  for (const [index, row] of table.entries()) {
    const line = row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
    const colour = index === 0 ? "bold" : row.at(-1) === "" ? undefined : "red";
    await output.line(coloured(output.look, colour, line));
  }
  const faults = pushed.flatMap(({ fault }) => fault ?? []);
  if (faults.length > 1) for (const fault of faults) await output.line(describe(fault));
  await output.flush();
}

/** The Fault with what the other side said: here it is an administrator who reads it. */
function describe({ message, cause }: Fault): string {
  return cause instanceof OtherSideSaid ? `${message}; ${cause.message}` : message;
}
