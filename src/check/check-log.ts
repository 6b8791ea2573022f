import type { Config } from "../config/config.ts";
import { Ledger } from "../log/ledger.ts";
import { TOLERATED_LAG_MS } from "../log/log-clock.ts";
import { Fault } from "../outcome.ts";
import { type Finding, note, ok, problem, warning } from "./finding.ts";

const DAY_MS = 86_400_000;
/** Longer than any calendar month. */
const MONTH_MS = 31 * DAY_MS;

/** Whether the log can be written, continues itself, and is not ahead of the clock; and what the rules leave open. */
export function checkLog(config: Config, now: Date): readonly Finding[] {
  let ledger: Ledger;
  try {
    ledger = Ledger.open(config.stateDirectory, { origin: config.origin });
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return [problem("log", error.code, error.message)];
  }
  try {
    const { seq, time: lastTime } = ledger.queries.newest();
    const lagMs = lastTime.getTime() - now.getTime();
    const clock =
      lagMs >= TOLERATED_LAG_MS
        ? problem(
            "clock",
            "clock-behind",
            `now is ${now.toISOString()}, the log's last entry ${lastTime.toISOString()}: set the clock, or signer clock accept`,
          )
        : ok("clock", `not behind the log's last entry, ${lastTime.toISOString()}`);
    return [
      ok("log", `${seq + 1} entries; signer-log verify examines them all`),
      clock,
      ...checkRules(config, ledger, now),
    ];
  } finally {
    ledger.close();
  }
}

function checkRules(config: Config, ledger: Ledger, now: Date): readonly Finding[] {
  const ids = new Set(config.rules.map((rule) => rule.id));
  const gone = ledger.queries.rulesSince(new Date(now.getTime() - MONTH_MS)).filter((id) => !ids.has(id));
  return [
    ...gone.map((id) =>
      warning(
        "rules",
        `${id} signed within the last 31 days and is no rule any more: what replaces it counts from zero`,
      ),
    ),
    ...config.rules.flatMap((rule) => [
      ...(rule.from === undefined
        ? [note("rules", `${rule.id} has no from: authorized_keys alone bounds the addresses`)]
        : []),
      ...(rule.limits.length === 0 ? [warning("rules", `${rule.id} has no limits`)] : []),
    ]),
  ];
}
