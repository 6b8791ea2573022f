import { createReadStream, fstatSync, readFileSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { type Peer, parseAuthInfo, parseConnection } from "../request/peer.ts";
import type { Environment } from "./environment.ts";

/** What sshd gives the forced command: who calls, and the client's ends of stdin and stdout. */

/** What a file on stdin is read by, in bytes; a pipe gives what it has. */
const FILE_CHUNK_BYTES = 256 * 1024;

/** Where the call comes from; undefined where SSH_CONNECTION is missing or malformed. */
export function readPeer({ sshConnection, sshUserAuth }: Environment): Peer | undefined {
  const address = parseConnection(sshConnection);
  return (
    address && {
      address,
      sshKey: sshUserAuth === undefined ? undefined : parseAuthInfo(readAuthInfo(sshUserAuth)),
    }
  );
}

/** The file that sshd writes for each session; not there (ExposeAuthInfo no), there is nothing to say about the key. */
function readAuthInfo(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** The client's bytes. */
export function openStdin(): Readable {
  if (!fstatSync(0).isFile()) return process.stdin;
  return createReadStream("", { fd: 0, autoClose: false, highWaterMark: FILE_CHUNK_BYTES });
}

/** `process.stdout` stops the whole process where a pipe is full and nobody reads: no deadline would ever be met. */
export function openStdout(): Writable {
  const stdout = fstatSync(1);
  if (!stdout.isFIFO() && !stdout.isSocket()) return process.stdout;
  return new Socket({ fd: 1, readable: false, writable: true });
}
