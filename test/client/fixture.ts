import type { SshClientConfig } from "../../src/client/client-config.ts";
import { parseHostKey } from "../../src/config/setting.ts";
import type { SshServer } from "../support/sshd.ts";

/** A client of the server, by its ssh_config alone. */
export function clientOf(server: SshServer, changed: Partial<SshClientConfig> = {}): SshClientConfig {
  return {
    via: "ssh",
    host: "signer",
    port: undefined,
    user: undefined,
    identities: undefined,
    agent: undefined,
    hostKey: undefined,
    sshConfigFile: server.clientConfig,
    sshCommand: undefined,
    publicKeyFile: "/nonexistent",
    for: undefined,
    waitMs: 0,
    timeoutMs: 20_000,
    ...changed,
  };
}

/** The server's key, as a client pins it. */
export function hostKeyOf(server: SshServer) {
  const key = parseHostKey(server.hostKey);
  if (key === undefined) throw new Error("no host key");
  return key;
}

export async function* bytes(...chunks: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

/** The code that a promise is rejected with; the error itself where it has none. */
export async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
    return "no error";
  } catch (error) {
    return (error as { code?: unknown }).code ?? error;
  }
}
