import type { HttpsRemoteLog } from "../../config/config.ts";
import { type Fault, quoted } from "../../outcome.ts";
import { readHead } from "../../transport/http-head.ts";
import {
  connectMutualTls,
  type MutualTlsPeer,
  peerFault,
  withoutBrackets,
} from "../../transport/mutual-tls-connection.ts";
import { describeTlsFailure, ownCertificateNote } from "../../transport/tls-failure.ts";
import type { Connection } from "./connection.ts";
import { encodeUpgradeRequest, MAX_HEAD_BYTES, parseUpgradeAnswer, type UpgradeAnswer } from "./upgrade.ts";

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
  socket.write(encodeUpgradeRequest(url.pathname.replace(/\/$/, ""), url.host));
  const head = await readHead(socket, MAX_HEAD_BYTES);
  if (head === undefined) {
    socket.destroy();
    throw broken.signal.reason ?? peerFault(peer, noHead(socket.readableEnded));
  }
  const answer = parseUpgradeAnswer(head);
  if (answer?.kind !== "upgraded") {
    socket.destroy();
    throw answer === undefined
      ? peerFault(peer, "does not answer as a log host: it does not speak HTTP/1.1 with signer-log/1")
      : peerFault(peer, describeRefusal(answer, peer));
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

function noHead(hasEnded: boolean): string {
  return hasEnded
    ? "ended the connection without an answer"
    : `does not answer as a log host: its answer's head has more than ${MAX_HEAD_BYTES} bytes`;
}

/** What a status means here, so that a person knows what to look at. Before a certificate was accepted, nginx answers 400. */
function describeRefusal(
  { status, location }: UpgradeAnswer & { readonly kind: "refused" },
  peer: MutualTlsPeer,
): string {
  if (status >= 300 && status < 400) {
    const to = location === undefined ? "" : ` to ${quoted(location)}`;
    return `redirects${to} (${status}), which is not followed`;
  }
  if (status === 400) {
    const note = ownCertificateNote(peer);
    const why =
      ": it is revoked, of another CA, or not valid by the clock there; nginx's error log says which";
    return `does not accept this host's certificate (400)${note === "" ? why : note}`;
  }
  const meaning = MEANINGS[status];
  return `answers ${status}${meaning === undefined ? "" : `: ${meaning}`}`;
}

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
