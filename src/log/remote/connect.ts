import type { LogHostSource } from "../../config/config.ts";
import type { Connection } from "./connection.ts";

/**
 * Connects to a log host as its configuration says. Faults `remote-log-unavailable`.
 * @param signal gives up when it aborts, also later on; its reason MUST be a Fault
 */
export async function connectTo(source: LogHostSource, signal: AbortSignal): Promise<Connection> {
  switch (source.kind) {
    case "ssh": {
      const { connectSsh } = await import("./ssh-connection.ts");
      return await connectSsh(source, signal);
    }
    case "https": {
      const { connectHttps } = await import("./https-connection.ts");
      return await connectHttps(source, signal);
    }
  }
}
