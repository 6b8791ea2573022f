import { Fault } from "../outcome.ts";
import type { Environment } from "./environment.ts";

/** The first descriptor that a service gets from its manager (sd_listen_fds(3), SD_LISTEN_FDS_START). */
const FIRST_FD = 3;
/** Sockets of one service at most: what lies beyond is a mistake. */
const MAX_SOCKETS = 1024;
/** Of systemd.socket(5), FileDescriptorName=: printable ASCII without a colon. */
const NAME = /^[\x21-\x39\x3b-\x7e]{1,255}$/;

/**
 * The listening sockets that systemd has opened for this process, by their `FileDescriptorName=` (sd_listen_fds(3)); empty
 * where it has opened none, or none for this very process. Fault `bad-configuration` for variables that do not fit
 * together, and for two sockets of one name.
 * @param processId whom LISTEN_PID has to mean
 */
export function inheritedSockets(
  { listenPid, listenFds, listenFdNames }: Pick<Environment, "listenPid" | "listenFds" | "listenFdNames">,
  processId: number = process.pid,
): ReadonlyMap<string, number> {
  const sockets = new Map<string, number>();
  if (listenPid !== String(processId) || listenFds === undefined) return sockets;
  const count = /^(?:0|[1-9][0-9]{0,3})$/.test(listenFds) ? Number(listenFds) : Number.NaN;
  if (!(count <= MAX_SOCKETS)) throw mistake(`LISTEN_FDS: expected a number from 0 to ${MAX_SOCKETS}`);
  const names = count === 0 ? [] : (listenFdNames ?? "").split(":");
  if (names.length !== count || !names.every((name) => NAME.test(name)))
    throw mistake("LISTEN_FDNAMES: expected a name for each of LISTEN_FDS");
  for (const [index, name] of names.entries()) {
    if (sockets.has(name))
      throw mistake(
        "LISTEN_FDNAMES: expected each name once; FileDescriptorName= sets it in the socket unit",
      );
    sockets.set(name, FIRST_FD + index);
  }
  return sockets;
}

function mistake(what: string): Fault {
  return new Fault("bad-configuration", what);
}
