import type { Socket } from "node:net";
import { Fault, type FaultCode } from "../outcome.ts";

/** What the other side of a proxy is to be: a name is looked up there, not here. */
export interface BehindProxy {
  readonly host: string;
  readonly port: number;
}

/** RFC 1928 §6, REP, as the library says them. */
const ANSWERS: Readonly<Record<string, string>> = {
  Failure: "could not connect to",
  NotAllowed: "does not allow a connection to",
  NetworkUnreachable: "has no way to the network of",
  HostUnreachable: "finds no way to, or no address of,",
  ConnectionRefused: "says that nobody listens at",
  TTLExpired: "gave up the way to",
  CommandNotSupported: "cannot connect to",
  AddressNotSupported: "takes no address of the kind of",
};

/**
 * Has the SOCKS5 proxy (RFC 1928) at the other end of `socket` connect to `target`; then the socket leads there. The library is
 * loaded now, not earlier: few have a proxy.
 * @throws Fault of `code` where the proxy is none, or does not; the socket is of no use then. Time is the caller's to watch
 */
export async function leadThroughSocks(
  socket: Socket,
  target: BehindProxy,
  { proxy, code }: { readonly proxy: string; readonly code: FaultCode },
): Promise<void> {
  const { SocksClient } = await import("socks");
  const place = `${target.host}:${target.port}`;
  try {
    await SocksClient.createConnection({
      command: "connect",
      existing_socket: socket,
      destination: { ...target },
      proxy: { host: "proxy", port: 1, type: 5 }, // the socket is there already: of these only the type counts
      timeout: 2 ** 31 - 1, // the caller's is shorter
    });
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    const answer = ANSWERS[/rejected connection - (?<answer>\w+)/i.exec(said)?.groups?.["answer"] ?? ""];
    // Without its cause, which carries sockets with it.
    if (answer !== undefined) throw new Fault(code, `the proxy ${proxy} ${answer} ${place}`);
    if (/no accepted authentication/i.test(said))
      throw new Fault(code, `the proxy ${proxy} asks for a user and a password`);
    throw new Fault(code, `the proxy ${proxy} does not answer as a SOCKS5 proxy`);
  }
}
