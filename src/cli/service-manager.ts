import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import type { Environment } from "./environment.ts";

/** What the service manager hears (sd_notify(3)). Without one, nothing is said. */
export interface ServiceManager {
  /** One assignment, such as `READY=1`; never throws. */
  tell(state: string): void;
  /** Says that the service is alive, as often as was asked for, unless `check` throws. */
  watch(check: () => unknown): void;
  close(): void;
}

/**
 * Node has no datagram sockets of the Unix kind: lines go through a pipe to the launcher, which calls systemd-notify(1). The
 * pipe's name goes when it is open.
 */
export function openServiceManager({
  notifyPipe,
  watchdogUsec,
}: Pick<Environment, "notifyPipe" | "watchdogUsec">): ServiceManager {
  const pipe = notifyPipe === undefined ? undefined : openPipe(notifyPipe);
  let timer: NodeJS.Timeout | undefined;
  const tell = (state: string): void => {
    try {
      if (pipe !== undefined) writeSync(pipe, `${state}\n`);
    } catch {
      // The launcher's other half is gone: the manager will see to the service.
    }
  };
  return {
    tell,
    watch: (check) => {
      const periodMs = Number(watchdogUsec) / 1000;
      if (!(periodMs >= 1)) return;
      timer = setInterval(() => {
        try {
          check();
          tell("WATCHDOG=1");
        } catch {
          // Perhaps the next time; after too long the manager ends the service and starts it anew.
        }
      }, periodMs / 2);
    },
    close: () => {
      clearInterval(timer);
      if (pipe !== undefined) closeSync(pipe);
    },
  };
}

function openPipe(path: string): number {
  const pipe = openSync(path, "w");
  rmSync(path, { force: true });
  return pipe;
}
