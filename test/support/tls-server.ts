import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { mutualTlsOptions } from "../../src/transport/mutual-tls.ts";
import type { CertificateAuthority, CertificateFiles } from "./certificates.ts";
import type { Cleanup } from "./cleanup.ts";

/** A server of mutual TLS that has the right certificate, and does what it likes. */
export interface TlsServerUnderTest {
  readonly port: number;
  /** What was asked so far, over all connections. */
  readonly asked: () => string;
  /** Those that have not ended yet. */
  readonly sockets: ReadonlySet<TLSSocket>;
  /** Breaks all of them. */
  readonly reset: () => void;
}

/**
 * Starts one on 127.0.0.1.
 * @param serve gets each connection when its first bytes have come
 * @param changed options of TLS
 */
export async function startTlsServer(
  cleanup: Cleanup,
  { authority, server }: { readonly authority: CertificateAuthority; readonly server: CertificateFiles },
  serve: (socket: TLSSocket) => unknown,
  changed: object = {},
): Promise<TlsServerUnderTest> {
  const sockets = new Set<TLSSocket>();
  let asked = "";
  const options = mutualTlsOptions(
    { caFile: authority.caFile, crlFile: undefined, ...server },
    "remote-log-unavailable",
  );
  const listening = createServer({ ...options, requestCert: true, ...changed }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    socket.once("data", (chunk: Buffer) => {
      asked += chunk.toString("latin1");
      void serve(socket);
    });
  });
  listening.on("tlsClientError", () => undefined);
  const raw = new Set<Socket>();
  listening.on("connection", (socket: Socket) => {
    raw.add(socket);
    socket.once("close", () => raw.delete(socket));
  });
  const reset = () => {
    for (const socket of raw) socket.resetAndDestroy();
  };
  listening.listen(0, "127.0.0.1");
  await once(listening, "listening");
  cleanup.add(() => {
    for (const socket of sockets) socket.destroy();
    listening.close();
  });
  return { port: (listening.address() as AddressInfo).port, asked: () => asked, sockets, reset };
}
