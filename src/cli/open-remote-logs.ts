import type { Config, RemoteLogSource } from "../config/config.ts";
import type { Journal } from "../journal.ts";
import type { Ledger } from "../log/ledger.ts";
import { type RemoteLog, RemoteLogs } from "../log/remote/remote-logs.ts";

/** The configured remote logs, none of them connected yet. What only one type needs is loaded where that is configured. */
export async function openRemoteLogs(config: Config, ledger: Ledger, journal: Journal): Promise<RemoteLogs> {
  const open = (source: RemoteLogSource) => openRemoteLog(source, config, ledger, journal);
  return new RemoteLogs(await Promise.all(config.remoteLogs.map(open)), journal);
}

async function openRemoteLog(
  source: RemoteLogSource,
  { stateDirectory }: Config,
  ledger: Ledger,
  journal: Journal,
): Promise<RemoteLog> {
  switch (source.kind) {
    case "ssh": {
      const { SshRemoteLog } = await import("../log/remote/ssh-remote-log.ts");
      return new SshRemoteLog(source, { ledger, stateDirectory, journal });
    }
    case "syslog": {
      const { SyslogRemoteLog } = await import("../log/remote/syslog-remote-log.ts");
      return new SyslogRemoteLog(source, ledger);
    }
  }
}
