import { chmodSync, chownSync, lstatSync, statSync, unlinkSync } from "node:fs";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { Fault } from "../outcome.ts";
import { groupIdOf } from "./group-file.ts";

/** sockaddr_un has 108 bytes for a path, its NUL included (unix(7)). */
const MAX_PATH_BYTES = 107;
const OWNER_ONLY = 0o600;
const OWNER_AND_GROUP = 0o660;

/** Where a server listens: at a path, or on a socket that systemd has opened. */
export type ListeningPlace =
  | {
      readonly kind: "path";
      /** Absolute; its folder is there. */
      readonly path: string;
      /** Name or number of the group that may connect beside the owner; undefined: nobody else may. */
      readonly group: string | undefined;
    }
  | { readonly kind: "inherited"; readonly fd: number };

/**
 * Makes a server listen; resolves when it does. A socket at a path is never open to more than it is meant for, not even for a
 * moment. One that nothing answers at any more is replaced; where something does, and where the place cannot be
 * used, a Fault `bad-configuration`. The socket of a path goes with `server.close()`.
 */
export async function listen(server: Server, place: ListeningPlace): Promise<void> {
  if (place.kind === "inherited") {
    await start(server, { fd: place.fd }, `the inherited socket ${place.fd}`);
    return;
  }
  const { path, group } = place;
  const groupId = group === undefined ? undefined : groupIdOf(group);
  await makeRoom(path);
  await startPrivately(server, path);
  try {
    if (groupId !== undefined) {
      chownSync(path, -1, groupId); // first: until then its group is another one
      chmodSync(path, OWNER_AND_GROUP);
    }
  } catch (cause) {
    server.close();
    throw unusable(path, `cannot be given to the group ${group}: is the account in it?`, cause);
  }
}

/** A path is bound at once, inside the call: the umask that others of this process might meet is as strict for them. */
async function startPrivately(server: Server, path: string): Promise<void> {
  const before = process.umask(0o777 & ~OWNER_ONLY);
  let started: Promise<void>;
  try {
    started = start(server, { path }, path);
  } finally {
    process.umask(before);
  }
  await started;
}

function start(
  server: Server,
  where: { readonly path: string } | { readonly fd: number },
  place: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EACCES" ? "this account may not write in its folder" : String(cause.code);
      reject(unusable(place, `cannot be listened at: ${why}`, cause));
    };
    server.once("error", fail);
    server.listen(where, () => {
      server.removeListener("error", fail);
      resolve();
    });
  });
}

/** Sees to it that nothing is at a path: a socket may have been left by a process that was killed. */
async function makeRoom(path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw unusable(path, `is longer than the ${MAX_PATH_BYTES} bytes that a socket's path may have`);
  if (statSync(dirname(path), { throwIfNoEntry: false })?.isDirectory() !== true)
    throw unusable(path, "is in a folder that is not there");
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw unusable(path, "is there already and is no socket");
  const answer = await knock(path);
  if (answer === "ECONNREFUSED") unlinkSync(path);
  else if (answer !== "ENOENT")
    throw unusable(path, "is a socket that something answers at, or that is another account's");
}

/** What becomes of a connection to a path: its error's code, or "answered". */
function knock(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve("answered");
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "unknown"));
  });
}

function unusable(place: string, what: string, cause?: unknown): Fault {
  return new Fault("bad-configuration", `${place} ${what}`, { cause });
}
