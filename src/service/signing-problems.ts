import { effectiveTime } from "../log/log-clock.ts";
import { Fault } from "../outcome.ts";
import type { HostState, Problem } from "./host-state.ts";

/** Why the host cannot sign now what its rules allow, or not all of it; empty where it can. Limits that are used up are none. */
export function signingProblems(state: HostState): readonly Problem[] {
  const { mode, service, halted, log, rules, keys, remoteLogs } = state;
  const found: Problem[] = [];
  if (mode === "split" && service?.isServing !== true)
    found.push({ code: "service-unavailable", reason: "the signing service does not run" });
  if (halted !== undefined) found.push({ code: "log-broken", reason: halted });
  else if ("code" in log) found.push(log);
  else found.push(...clockProblem(state.time, log.lastEntryAt));
  const used = new Set(rules.map(({ key }) => key));
  for (const { name, problem } of keys) if (problem !== undefined && used.has(name)) found.push(problem);
  for (const { name, required, connected, failure } of remoteLogs)
    if (required && connected === false && failure !== undefined)
      found.push({ code: "remote-log-unavailable", reason: `${name}: ${failure.reason}` });
  return found;
}

function clockProblem(now: Date, last: Date): readonly Problem[] {
  try {
    effectiveTime(now, last);
    return [];
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return [{ code: error.code, reason: error.message }];
  }
}
