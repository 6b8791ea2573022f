import { request as startRequest } from "node:http";
import type { TLSSocket } from "node:tls";
import type { HttpsRemoteLog } from "../../config/config.ts";
import type { Fault } from "../../outcome.ts";
import { describeStatus } from "../../transport/http-status.ts";
import {
  connectMutualTls,
  type MutualTlsPeer,
  peerFault,
  withoutBrackets,
} from "../../transport/mutual-tls-connection.ts";
import { describeTlsFailure } from "../../transport/tls-failure.ts";
import type { Connection } from "./connection.ts";
import { isUpgradeAnswer, MAX_HEAD_BYTES, upgradeFields, upgradePath } from "./upgrade.ts";

/** Silence after which the kernel asks; ten questions, a second apart, without an answer and the connection is broken. In ms. */
const KEEPALIVE_MS = 5_000;
/** How long the last bytes may take to leave, in ms. */
const LINGER_MS = 250;

/**
 * Connects to a log host behind a web server, over mutual TLS 1.3, and has the connection upgraded: its certificate must come from
 * the configured CA and be for the url's host, before a byte is sent. No redirect is followed. Faults `remote-log-unavailable`.
 * @param signal gives up when it aborts, also later on; its reason MUST be a Fault
 */
export async function connectHttps(remote: HttpsRemoteLog, signal: AbortSignal): Promise<Connection> {
  const url = new URL(remote.url);
  const peer: MutualTlsPeer = {
    ...remote,
    role: `the remote log ${remote.name} at`,
    code: "remote-log-unavailable",
    host: withoutBrackets(url.hostname),
    port: url.port === "" ? 443 : Number(url.port),
  };
  const { socket } = await connectMutualTls(peer, signal);
  const broken = new AbortController();
  const fail = (fault: Fault): void => {
    broken.abort(fault);
    socket.destroy();
  };
  const giveUp = () => fail(signal.reason as Fault);
  socket.on("error", (error) => fail(peerFault(peer, describeTlsFailure(error, peer), error)));
  signal.addEventListener("abort", giveUp, { once: true });
  socket.once("close", () => signal.removeEventListener("abort", giveUp)); // a signal may live longer than many connections
  socket.setKeepAlive(true, KEEPALIVE_MS);
  if (signal.aborted) giveUp();
  const answer = await ask(socket, url).catch((error: unknown) => {
    socket.destroy();
    throw broken.signal.reason ?? explained(error, peer);
  });
  if (!answer.isUpgraded) {
    socket.destroy();
    const { status, location } = answer;
    throw peerFault(peer, status === 101 ? NO_LOG_HOST : describeStatus(status, location, peer, MEANINGS));
  }
  return {
    stream: socket,
    broken: broken.signal,
    said: () => undefined, // what the receiver has to say beside the protocol is in its own journal
    close: () => {
      socket.end();
      setTimeout(() => socket.destroy(), LINGER_MS).unref();
    },
  };
}

interface Answer {
  readonly isUpgraded: boolean;
  readonly status: number;
  /** Of a redirect. Controlled by: the other side. */
  readonly location?: string | undefined;
}

/**
 * Asks for the upgrade. What comes behind the answer that grants it stays in the socket, which is node:http's no more; after any
 * other it is of no use. Rejects with errors of node:http, and where the socket is closed.
 */
function ask(socket: TLSSocket, url: URL): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = startRequest({
      createConnection: () => socket,
      path: upgradePath(url),
      headers: upgradeFields(url),
      setDefaultHeaders: false,
      maxHeaderSize: MAX_HEAD_BYTES,
      insecureHTTPParser: false,
    });
    request.on("error", reject);
    socket.once("close", () => reject(Object.assign(new Error("closed"), { code: "ECONNRESET" })));
    request.once("upgrade", (answer, _, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve({ isUpgraded: isUpgradeAnswer(answer), status: 101 });
    });
    const refused = (status = 0, location?: string) => resolve({ isUpgraded: false, status, location });
    request.once("response", ({ statusCode, headers }) => refused(statusCode, headers.location));
    request.once("information", ({ statusCode }) => refused(statusCode)); // no wait for one that may never come
    request.end();
  });
}

const NO_LOG_HOST = "does not answer as a log host: it does not speak HTTP/1.1 with signer-log/1";

/** Why there was no answer, where the socket has not said it. */
function explained(error: unknown, peer: MutualTlsPeer): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ECONNRESET") return peerFault(peer, "ended the connection without an answer", error);
  if (code === "HPE_HEADER_OVERFLOW")
    return peerFault(
      peer,
      `does not answer as a log host: its answer's head has more than ${MAX_HEAD_BYTES} bytes`,
      error,
    );
  return code.startsWith("HPE_") ? peerFault(peer, NO_LOG_HOST, error) : error;
}

/** What a status means of a log host behind nginx with the shipped configuration. */
const MEANINGS: Readonly<Record<number, string>> = {
  200: "there is something else than a log host at this url",
  403: "this host's certificate is not one of those that its configuration names for the log",
  404: "there is no log host at this url, or log.conf is not included in nginx's configuration",
  421: "it is not configured for this host name",
  426: "it speaks another version of the protocol, or nginx's configuration is not the shipped one",
  429: "too many connections",
  500: "nginx's error log says why",
  502: "signer-log receive --http does not run there, or nginx may not connect to its socket",
  503: "too many connections, or it is being maintained",
  504: "signer-log receive --http does not answer nginx",
};
