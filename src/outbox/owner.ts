import {
  currentHolder,
  encodeLockHolder,
  isGone,
  type LockHolder,
  parseLockHolder,
} from "../repository/lock-holder.ts";

/**
 * Names of what belongs to one process, in the folder of requests and of the outbox: `LABEL@PID-TICKS-BOOT-NAMESPACE-HOST`. So whoever
 * comes later knows whether anybody still needs it.
 */
export interface Owned {
  readonly label: string;
  readonly owner: LockHolder;
}

const NAME = /^(?<label>[a-z0-9.]{1,64})@(?<owner>[0-9a-f-]{1,128})$/;
const PREFIX = "lock-";

/** Nobody waits longer for an answer: what is older, of a process that cannot be looked at from here, is nobody's. */
const FORGOTTEN_MS = 25 * 86_400_000;

let here: LockHolder | undefined;
let count = 0;

/** This process. */
export function thisProcess(): LockHolder {
  here ??= currentHolder();
  return here;
}

/** A name of this process's own. */
export function ownedName(label: string): string {
  return `${label}@${encodeLockHolder(thisProcess()).slice(PREFIX.length)}`;
}

/** The same, which this process has not used before. */
export function freshName(label: string): string {
  count += 1;
  return ownedName(`${label}.${count}`);
}

/** Reads either; undefined for any other name. */
export function parseOwnedName(name: string): Owned | undefined {
  const { label, owner } = NAME.exec(name)?.groups ?? {};
  const holder = owner === undefined ? undefined : parseLockHolder(`${PREFIX}${owner}`);
  return label === undefined || holder === undefined ? undefined : { label, owner: holder };
}

/**
 * Whether nobody needs it any more. A process of another machine or container cannot be looked at: what it left counts as needed
 * until `neededUntilMs`, since 1970.
 */
export function isAbandoned(owner: LockHolder, neededUntilMs: number, nowMs: number): boolean {
  if (isGone(owner, thisProcess())) return true;
  const { host, boot, namespace } = thisProcess();
  const isNear = owner.host === host && owner.boot === boot && owner.namespace === namespace;
  return !isNear && nowMs > neededUntilMs;
}

/** Until when a file that was last changed at `mtimeMs` may be needed, see {@link isAbandoned}. */
export function neededUntil(mtimeMs: number): number {
  return mtimeMs + FORGOTTEN_MS;
}
