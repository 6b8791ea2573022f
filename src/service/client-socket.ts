import { join } from "node:path";
import type { ServiceSettings } from "../config/config.ts";

/** Where the service listens for a client, unless systemd has opened the socket elsewhere. */
export function clientSocket({ socketDirectory }: ServiceSettings, client: string): string {
  return join(socketDirectory, `${client}.sock`);
}
