import type { KeyFacts } from "./keys/signing-key.ts";
import { quoted } from "./outcome.ts";
import { encodeLimit } from "./policy/limit.ts";
import { type CountedLimit, countLimits, countLimitsOfName } from "./policy/limit-history.ts";
import { encodeSize } from "./policy/quantity.ts";
import type { Rule } from "./policy/rule.ts";
import type { SigningHost } from "./sign.ts";

const DAY_MS = 86_400_000;
/** Names whose own limits are shown for one rule. */
const MAX_NAMES_SHOWN = 20;

/** What a client may have signed, what is left of each limit, and until when the keys live. */
export interface Status {
  readonly client: string;
  readonly time: Date;
  readonly rules: readonly RuleStatus[];
  /** The keys of the rules, each once. */
  readonly keys: readonly KeyFacts[];
}

interface RuleStatus {
  readonly rule: Rule;
  readonly limits: readonly CountedLimit[];
  /** Names that limits_per_name can be told for, undefined standing for requests without one. */
  readonly perName: readonly {
    readonly name: string | undefined;
    readonly limits: readonly CountedLimit[];
  }[];
  readonly key: KeyFacts;
}

/** Counts and looks up what a {@link Status} says of `rules`, those of the client. */
export async function statusOf(
  host: Pick<SigningHost, "ledger" | "loadKey" | "now">,
  client: string,
  rules: readonly Rule[],
): Promise<Status> {
  const time = host.now();
  const { queries } = host.ledger;
  const keys = new Map<string, KeyFacts>();
  const states: RuleStatus[] = [];
  for (const rule of rules) {
    const key = keys.get(rule.key) ?? (await host.loadKey(rule.key));
    keys.set(rule.key, key);
    const perName = namesOf(rule).map((name) => ({
      name,
      limits: countLimitsOfName(rule, name, queries, time),
    }));
    states.push({ rule, limits: countLimits(rule, queries, time), perName, key });
  }
  return { client, time, rules: states, keys: [...keys.values()] };
}

/** For people. */
export function describeStatus({ client, time, rules }: Status): string {
  const blocks = rules.map(({ rule, limits, perName, key }) =>
    [
      `${rule.id}: ${rule.type}, at most ${encodeSize(rule.maxBytes)}`,
      `  names     ${rule.names?.join(" ") ?? "any, or none"}`,
      `  limits    ${describeLimits(limits)}`,
      ...(rule.limitsPerName.length === 0
        ? []
        : [`  per name  ${rule.limitsPerName.map(encodeLimit).join(", ")}`]),
      ...perName.map(
        ({ name, limits: ofName }) => `            ${name ?? "without a name"}: ${describeLimits(ofName)}`,
      ),
      `  key       ${rule.key}, ${describeKey(key, time)}`,
    ].join("\n"),
  );
  return `${[`client ${client}, ${time.toISOString()}`, ...blocks].join("\n\n")}\n`;
}

/** For programs: one line of JSON (docs/FORMATS.md, "Status"). What there is none of is left out. */
export function encodeStatus({ client, time, rules, keys }: Status): string {
  const status = {
    client,
    time: time.toISOString(),
    rules: rules.map(({ rule, limits, perName }) => ({
      id: rule.id,
      type: rule.type,
      names: rule.names,
      max_size: rule.maxBytes,
      limits: limits.map(limitJson),
      limits_per_name: rule.limitsPerName.map(encodeLimit),
      per_name: perName.map(({ name, limits: ofName }) => ({ name, limits: ofName.map(limitJson) })),
      key: rule.key,
    })),
    keys: keys.map((key) => ({
      name: key.name,
      algorithm: key.algorithm,
      fingerprint: key.fingerprint,
      primary_fingerprint: key.primaryFingerprint,
      expires: key.expiresAt?.toISOString(),
      problem: key.problemAt(time)?.problem,
    })),
  };
  return `${JSON.stringify(status)}\n`;
}

function limitJson({ limit, state }: CountedLimit) {
  const text = encodeLimit(limit);
  return state.kind === "free"
    ? { limit: text, left: state.left }
    : { limit: text, left: 0, next: state.nextAt.toISOString() };
}

/** The names that limits_per_name can be told for: those written out, or the one that nameless requests share. */
function namesOf(rule: Rule): readonly (string | undefined)[] {
  if (rule.limitsPerName.length === 0) return [];
  if (rule.names === undefined) return [undefined];
  return rule.names.filter((name) => !name.includes("*")).slice(0, MAX_NAMES_SHOWN);
}

function describeLimits(limits: readonly CountedLimit[]): string {
  if (limits.length === 0) return "none";
  return limits
    .map(({ limit, state }) =>
      state.kind === "free"
        ? `${state.left} left of ${encodeLimit(limit)}`
        : `${encodeLimit(limit)} used up until ${state.nextAt.toISOString()}`,
    )
    .join(", ");
}

/** One line on a key: algorithm, fingerprint, and how long it can sign. */
export function describeKey(key: KeyFacts, now: Date): string {
  return `${key.algorithm} ${key.fingerprint}, ${describeValidity(key, now)}`;
}

/** Whether and until when a key can sign. */
export function describeValidity(key: KeyFacts, now: Date): string {
  const problem = key.problemAt(now);
  if (problem !== undefined) return `cannot sign: ${problem.reason}`;
  if (key.expiresAt === undefined) return "never expires";
  const days = Math.floor((key.expiresAt.getTime() - now.getTime()) / DAY_MS);
  return `valid until ${key.expiresAt.toISOString().slice(0, 10)} (${days} day${days === 1 ? "" : "s"} left)`;
}

/** A key's owner as text that is safe to show. */
export function describeUserId(key: KeyFacts): string {
  return quoted(key.userId, 200);
}
