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

/** For the client, as text: what it may have signed, what is left of each limit, and until when the keys live. */
export async function statusOf(
  host: Pick<SigningHost, "ledger" | "loadKey" | "now">,
  client: string,
  rules: readonly Rule[],
): Promise<string> {
  const now = host.now();
  const blocks: string[] = [`client ${client}, ${now.toISOString()}`];
  for (const rule of rules) {
    const key = await host.loadKey(rule.key);
    const { queries } = host.ledger;
    const lines = [
      `${rule.id}: ${rule.type}, at most ${encodeSize(rule.maxBytes)}`,
      `  names     ${rule.names?.join(" ") ?? "any, or none"}`,
      `  limits    ${describeLimits(countLimits(rule, queries, now))}`,
      ...(rule.limitsPerName.length === 0
        ? []
        : [`  per name  ${rule.limitsPerName.map(encodeLimit).join(", ")}`]),
      ...namesOf(rule).map(
        (name) =>
          `            ${name ?? "without a name"}: ${describeLimits(countLimitsOfName(rule, name, queries, now))}`,
      ),
      `  key       ${rule.key}, ${describeKey(key, now)}`,
    ];
    blocks.push(lines.join("\n"));
  }
  return `${blocks.join("\n\n")}\n`;
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
