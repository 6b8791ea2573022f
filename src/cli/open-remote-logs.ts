import type {
  Config,
  LogHostSource,
  RemoteLogSource,
  SyslogRemoteLog as SyslogSource,
} from "../config/config.ts";
import type { Journal } from "../journal.ts";
import type { Ledger } from "../log/ledger.ts";
import type { CollectorConnection } from "../log/remote/collector-connection.ts";
import { type RemoteLog, RemoteLogs } from "../log/remote/remote-logs.ts";

export interface OpenRemoteLogsOptions {
  /** How they are reached: through the sender process that listens at this path; left out: from this process. */
  readonly via?: { readonly sender: string };
}

/** The configured remote logs, none of them connected yet. What only one type needs is loaded where that is configured. */
export async function openRemoteLogs(
  config: Config,
  ledger: Ledger,
  journal: Journal,
  { via }: OpenRemoteLogsOptions = {},
): Promise<RemoteLogs> {
  const options = { ledger, journal, stateDirectory: config.stateDirectory };
  const open = (source: RemoteLogSource) => openRemoteLog(source, options, via?.sender);
  return new RemoteLogs(await Promise.all(config.remoteLogs.map(open)), journal);
}

async function openRemoteLog(
  source: RemoteLogSource,
  options: { readonly ledger: Ledger; readonly journal: Journal; readonly stateDirectory: string },
  sender: string | undefined,
): Promise<RemoteLog> {
  switch (source.kind) {
    case "ssh":
    case "https": {
      const { CosignedRemoteLog } = await import("../log/remote/cosigned-remote-log.ts");
      return new CosignedRemoteLog(source, {
        ...options,
        ...(sender && (await logHostVia(sender, source, options))),
      });
    }
    case "syslog": {
      const { SyslogRemoteLog } = await import("../log/remote/syslog-remote-log.ts");
      return new SyslogRemoteLog(source, options.ledger, { connect: await collectorVia(sender) });
    }
  }
}

async function logHostVia(sender: string, source: LogHostSource, { ledger }: { readonly ledger: Ledger }) {
  const { LogHost } = await import("../log/remote/log-host.ts");
  const { connectThroughSender } = await import("../sender/through-sender.ts");
  const { name } = source;
  return {
    connect: async (signal: AbortSignal) =>
      LogHost.over(await connectThroughSender(sender, name, signal), {
        ...source,
        verifier: ledger.verifier,
      }),
  };
}

/** Only the process that speaks TLS itself loads it. */
async function collectorVia(sender: string | undefined): Promise<(to: SyslogSource) => CollectorConnection> {
  if (sender === undefined) {
    const { SyslogConnection } = await import("../log/remote/syslog-connection.ts");
    return (to) => new SyslogConnection(to);
  }
  const { CollectorThroughSender } = await import("../sender/through-sender.ts");
  return (to) => new CollectorThroughSender(sender, to);
}
