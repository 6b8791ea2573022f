import { once } from "node:events";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { Fault, type FaultCode } from "../outcome.ts";
import { type Address, parseAddress } from "../request/peer.ts";
import { type MutualTlsFiles, mutualTlsOptions, peerObjection } from "./mutual-tls.ts";
import { leadThroughSocks } from "./socks-proxy.ts";
import { describeTlsFailure } from "./tls-failure.ts";

/** Who is to be at the other end, and the way there. */
export interface MutualTlsPeer extends MutualTlsFiles {
  /** What it is, for messages: `the repository server`. */
  readonly role: string;
  /** Of all Faults. */
  readonly code: FaultCode;
  /** Name or address, IPv6 without brackets; its certificate has to be for it. */
  readonly host: string;
  readonly port: number;
  /** `socks5h://HOST:PORT`, which then looks the name up; undefined: none. */
  readonly proxy: string | undefined;
  /** For everything until the connection is there. */
  readonly timeoutMs: number;
}

export interface MutualTlsConnection {
  /** Nothing has been written to it, or read. An error of it ends nothing but the socket. */
  readonly socket: TLSSocket;
  /** Where the TCP connection leads; with a proxy, to that. */
  readonly address: Address | undefined;
}

/** Of the kernel's own questions whether the other side is still there. */
const TCP_KEEP_ALIVE_MS = 60_000;

/**
 * Connects, over the proxy where there is one, and returns when the other side is who it should be: nothing is sent before. The
 * files are read anew each time.
 * @throws Fault of the peer's code, which says why not; what the signal says, where it is aborted
 */
export async function connectMutualTls(
  peer: MutualTlsPeer,
  signal: AbortSignal,
): Promise<MutualTlsConnection> {
  signal.throwIfAborted();
  const options = mutualTlsOptions(peer, peer.code);
  const { host, port, proxy } = peer;
  const at = proxy === undefined ? { host, port } : placeOf(new URL(proxy));
  const tcp = connectTcp({ ...at, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS, noDelay: true });
  let tls: TLSSocket | undefined;
  let isAtProxy = proxy !== undefined;
  let late: Fault | undefined;
  const fault = (what: string, cause?: unknown) =>
    isAtProxy ? new Fault(peer.code, `the proxy ${proxy} ${what}`, { cause }) : peerFault(peer, what, cause);
  const giveUp = () => (tls ?? tcp).destroy();
  const timer = setTimeout(() => {
    late = fault(`did not answer within ${peer.timeoutMs / 1000} s`);
    giveUp();
  }, peer.timeoutMs);
  signal.addEventListener("abort", giveUp);
  tcp.on("error", () => undefined); // also while nobody waits for it
  try {
    await connected(tcp, "connect");
    const address = parseAddress(tcp.remoteAddress ?? "");
    if (proxy !== undefined)
      await Promise.race([leadThroughSocks(tcp, { host, port }, { proxy, code: peer.code }), failed(tcp)]);
    isAtProxy = false;
    const name = isIP(host) === 0 ? { servername: host } : {};
    try {
      tls = connectTls({ ...options, ...name, host, socket: tcp });
    } catch (cause) {
      const files = `${peer.caFile}, ${peer.crlFile ?? "no list of revoked ones"} and ${peer.certificateFile}`;
      throw new Fault(peer.code, `TLS cannot use ${files}`, { cause });
    }
    tls.on("error", () => undefined);
    await connected(tls, "secureConnect");
    const objection = peerObjection(tls);
    if (objection !== undefined) throw fault(`is not acceptable: ${objection}`);
    return { socket: tls, address };
  } catch (error) {
    (tls ?? tcp).destroy();
    signal.throwIfAborted();
    if (late !== undefined) throw late;
    if (error instanceof Fault || !(error instanceof Error)) throw error;
    throw fault(describeTlsFailure(error, peer), error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", giveUp);
  }
}

/** A Fault that says of the peer what it did. */
export function peerFault(
  { role, code, host, port }: Pick<MutualTlsPeer, "role" | "code" | "host" | "port">,
  what: string,
  cause?: unknown,
): Fault {
  return new Fault(code, `${role} ${host.includes(":") ? `[${host}]` : host}:${port} ${what}`, { cause });
}

/** IPv6 addresses stand in brackets in a URL, and nowhere else. */
export function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

function placeOf({ hostname, port }: URL): { readonly host: string; readonly port: number } {
  return { host: withoutBrackets(hostname), port: Number(port) };
}

async function connected(socket: Socket, event: "connect" | "secureConnect"): Promise<void> {
  await Promise.race([once(socket, event), failed(socket)]);
}

/** Rejects when the socket is over; before that, never settles. */
function failed(socket: Socket): Promise<never> {
  return new Promise((_, reject) => {
    let reason: Error | undefined;
    socket.once("error", (error) => {
      reason = error;
    });
    socket.once("close", () => {
      reject(reason ?? Object.assign(new Error("closed"), { code: "ECONNRESET" }));
    });
  });
}
