import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { createServer, type TLSSocket, type TlsOptions } from "node:tls";
import { expect } from "vitest";
import type { AnnouncedFile } from "../../src/exchange/notification.ts";
import { Fault } from "../../src/outcome.ts";
import { HttpsSource, type HttpsSourceSettings } from "../../src/pull/https-source.ts";
import type { FileName } from "../../src/request/request.ts";
import type { CertificateAuthority, CertificateFiles } from "../support/certificates.ts";
import type { Cleanup } from "../support/cleanup.ts";

/** Is never aborted. */
export const NEVER = new AbortController().signal;

/** The repository server at `url`, as a signing host with this certificate sees it; `cleanup` closes it. */
export function sourceAt(
  cleanup: Cleanup,
  url: string,
  files: { readonly authority: CertificateAuthority; readonly certificate: CertificateFiles },
  settings: Partial<HttpsSourceSettings> = {},
): HttpsSource {
  const { authority, certificate } = files;
  const { caFile, crlFile } = authority;
  const source = new HttpsSource({
    ...{ url, caFile, crlFile, ...certificate, timeoutMs: 10_000, proxy: undefined },
    ...settings,
  });
  cleanup.add(() => source.close());
  return source;
}

export function announced(content: Uint8Array, seq = 7): AnnouncedFile {
  return {
    seq,
    name: "core.db.tar.gz" as FileName,
    type: "db",
    size: content.byteLength,
    sha256: createHash("sha256").update(content).digest("hex"),
    for: undefined,
  };
}

export async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

/** What the Fault says after the server's name and place; it MUST be one of `source-unavailable`. */
export async function reasonOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    (value) => expect.fail(`no Fault, but ${JSON.stringify(value)?.slice(0, 200)}`),
    (error: unknown) => error,
  );
  if (!(error instanceof Fault)) throw error;
  expect(error.code).toBe("source-unavailable");
  expect(error.message).toMatch(/^[\x20-\x7e]+$/);
  return error.message.replace(/^the repository server \S+ /, "");
}

/** One question as it came, and the number of its connection and its own on that, from 1. */
export interface Asked {
  readonly head: string;
  readonly connection: number;
  readonly question: number;
  readonly socket: TLSSocket;
}

export interface HostileServer {
  readonly url: string;
  readonly port: number;
  /** Heads of all questions so far. */
  readonly heads: readonly string[];
  /** All connections so far that got through the handshake. */
  readonly sockets: readonly TLSSocket[];
  /** Of each, whether it went on with the session of an earlier one. */
  readonly resumed: readonly boolean[];
}

/** A TLS server whose answers are the test's: `conduct` writes what it likes, or returns it. */
export async function startHostileServer(
  cleanup: Cleanup,
  files: { readonly authority: CertificateAuthority; readonly server: CertificateFiles },
  conduct: (asked: Asked) => string | Buffer | undefined | Promise<string | Buffer | undefined>,
  tls: TlsOptions = {},
): Promise<HostileServer> {
  const heads: string[] = [];
  const sockets: TLSSocket[] = [];
  const resumed: boolean[] = [];
  const server = createServer({
    key: readFileSync(files.server.keyFile),
    cert: readFileSync(files.server.certificateFile),
    ca: readFileSync(files.authority.caFile),
    requestCert: true,
    rejectUnauthorized: true,
    ...tls,
  });
  server.on("tlsClientError", () => undefined);
  server.on("secureConnection", (socket) => {
    sockets.push(socket);
    resumed.push(socket.isSessionReused());
    const connection = sockets.length;
    let question = 0;
    let received = "";
    socket.on("error", () => undefined);
    socket.on("data", async (data) => {
      received += data.toString("latin1");
      for (let end = endOf(received); end !== undefined; end = endOf(received)) {
        const head = received.slice(0, end);
        received = received.slice(end);
        heads.push(head);
        question += 1;
        const answer = await conduct({ head, connection, question, socket });
        if (answer !== undefined && !socket.destroyed) socket.write(answer, "latin1");
      }
    });
  });
  const { port } = await listen(cleanup, server);
  return { url: `https://127.0.0.1:${port}/signer`, port, heads, sockets, resumed };
}

/** The end of the first question and its body, where all of it is there. */
function endOf(text: string): number | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const length = Number(/^content-length: (\d+)\r$/im.exec(text.slice(0, end + 2))?.[1] ?? 0);
  return text.length >= end + 4 + length ? end + 4 + length : undefined;
}

/** Listens on a free port of 127.0.0.1; `cleanup` ends it and all of its connections. */
export async function listen(
  cleanup: Cleanup,
  server: ReturnType<typeof createTcpServer>,
): Promise<{ readonly port: number }> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanup.add(async () => {
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  return { port: (server.address() as AddressInfo).port };
}

/** A wire to 127.0.0.1:`to`, which is cut for good at the first octets from there that come while `isCut`. */
export async function startWire(
  cleanup: Cleanup,
  to: number,
  isCut: () => boolean,
): Promise<{ readonly port: number }> {
  const server = createTcpServer((near) => {
    const far = connect(to, "127.0.0.1");
    const cut = () => {
      near.destroy();
      far.destroy();
    };
    near.on("data", (data) => far.write(data));
    far.on("data", (data) => {
      if (isCut()) cut();
      else near.write(data);
    });
    for (const socket of [near, far]) socket.on("error", cut).on("close", cut);
  });
  return listen(cleanup, server);
}

/** Resolves when a connection is over, however it ends. */
export async function closed(socket: Socket | undefined): Promise<void> {
  if (socket === undefined) expect.fail("there was no connection");
  if (!socket.destroyed) await new Promise<void>((resolve) => socket.once("close", () => resolve()));
}

/** A whole answer with a body. */
export function ok(body: string | Uint8Array, headers: readonly string[] = [], status = "200 OK"): Buffer {
  const bytes = Buffer.from(body);
  const head = [`HTTP/1.1 ${status}`, `Content-Length: ${bytes.length}`, ...headers, "", ""].join("\r\n");
  return Buffer.concat([Buffer.from(head, "latin1"), bytes]);
}

/** An answer without one. */
export function empty(status: string, headers: readonly string[] = []): string {
  return [`HTTP/1.1 ${status}`, "Content-Length: 0", ...headers, "", ""].join("\r\n");
}
