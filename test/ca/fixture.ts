import { once } from "node:events";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { connect, createServer, type TLSSocket } from "node:tls";
import { Authority, type KeyAlgorithm } from "../../src/ca/authority.ts";
import type { IssuedCertificate } from "../../src/ca/issued-certificate.ts";
import { Openssl } from "../../src/ca/openssl.ts";
import { mutualTlsOptions } from "../../src/transport/mutual-tls.ts";
import type { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";

export const NOW = new Date();
export const DAY_MS = 86_400_000;

export async function newAuthority(
  cleanup: Cleanup,
  options: { readonly algorithm?: KeyAlgorithm; readonly days?: number; readonly now?: Date } = {},
): Promise<Authority> {
  const { algorithm = "ed448", days = 3650, now = NOW } = options;
  const name = `certificates of a test (${algorithm})`;
  const directory = join(await tempDir(cleanup), "ca");
  return Authority.create(directory, { name, algorithm, days }, Openssl.find(), now);
}

export function issueServer(authority: Authority, days = 397, now = NOW): IssuedCertificate {
  const hosts = [{ kind: "dns", name: "localhost" } as const, { kind: "ip", name: "127.0.0.1" } as const];
  return authority.issue({ name: "localhost", use: "server", hosts, days }, now);
}

export function issueClient(
  authority: Authority,
  name = "enclave",
  days = 397,
  now = NOW,
): IssuedCertificate {
  return authority.issue({ name, use: "client", hosts: [], days }, now);
}

/** What both sides of a mutual TLS connection say of it, with the restrictions of signer: `ok`, or their error's code. */
export async function handshake(
  { caFile, crlFile }: Pick<Authority, "caFile" | "crlFile">,
  server: IssuedCertificate,
  client: IssuedCertificate,
): Promise<{ readonly server: string; readonly client: string }> {
  const options = (own: IssuedCertificate) =>
    mutualTlsOptions({ caFile, crlFile, ...own }, "source-unavailable");
  const atServer = Promise.withResolvers<string>();
  const listening: Server = createServer({
    ...options(server),
    requestCert: true,
    rejectUnauthorized: false, // so that it says why
  });
  listening.on("tlsClientError", (error: NodeJS.ErrnoException) => atServer.resolve(error.code ?? "error"));
  listening.on("secureConnection", (socket: TLSSocket) => {
    atServer.resolve(socket.authorized ? "ok" : `${socket.authorizationError}`);
    socket.on("error", () => undefined);
    socket.end("!");
  });
  listening.listen(0, "127.0.0.1");
  await once(listening, "listening");
  const { port } = listening.address() as AddressInfo;
  const atClient = new Promise<string>((resolve) => {
    const socket = connect({ ...options(client), host: "127.0.0.1", port, servername: "localhost" });
    socket.on("data", () => resolve("ok"));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
    socket.on("close", () => resolve("closed"));
  });
  const said = { client: await atClient, server: await atServer.promise };
  listening.close();
  return said;
}
