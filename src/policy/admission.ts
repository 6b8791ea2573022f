import type { ArtefactType } from "../artefact/artefact.ts";
import { parseArtefactName } from "../artefact/artefact-name.ts";
import { quoted, type Refusal, refusal } from "../outcome.ts";
import type { Address } from "../request/peer.ts";
import type { FileName } from "../request/request.ts";
import { isInRanges } from "./address-range.ts";
import { matchesName } from "./name-pattern.ts";
import type { Rule } from "./rule.ts";

/** A request may be read: some rule could allow what it sends. */
export interface Admission {
  readonly client: string;
  readonly name: FileName | undefined;
  /** At most one rule for each type, the first of the file that fits client, address and name; never empty. */
  readonly ruleOf: ReadonlyMap<ArtefactType, Rule>;
}

/** The rules of a client that connects from `address`, or why there are none. For requests that sign nothing, too. */
export function rulesFor(
  rules: readonly Rule[],
  client: string,
  address: Address,
): readonly Rule[] | Refusal {
  const ofClient = rules.filter((rule) => rule.client === client);
  if (ofClient.length === 0) return refusal("unknown-client", `no rule names the client ${quoted(client)}`);
  const fromHere = ofClient.filter((rule) => rule.from === undefined || isInRanges(rule.from, address));
  // The reason goes into an entry, which is public: the address is in its private record.
  return fromHere.length > 0
    ? fromHere
    : refusal("foreign-address", "no rule of this client allows the address that it comes from");
}

/**
 * Decides before a byte is read whether the request can be allowed at all.
 * @param name as the client gives it; a rule with `names` needs one
 */
export function admit(
  rules: readonly Rule[],
  client: string,
  address: Address,
  name: FileName | undefined,
): Admission | Refusal {
  const candidates = rulesFor(rules, client, address);
  if ("kind" in candidates) return candidates;
  return name === undefined ? admitNameless(candidates, client) : admitNamed(candidates, client, name);
}

function admitNameless(candidates: readonly Rule[], client: string): Admission | Refusal {
  const nameless = candidates.filter((rule) => rule.names === undefined);
  if (nameless.length === 0)
    return refusal("not-permitted", "this client's rules need the file's name after the host");
  return { client, name: undefined, ruleOf: firstOfEachType(nameless) };
}

function admitNamed(candidates: readonly Rule[], client: string, name: FileName): Admission | Refusal {
  const parsed = parseArtefactName(name);
  if (parsed === undefined)
    return refusal(
      "not-recognised",
      `${quoted(name)} is not the name of a database, a files database or an image`,
    );
  if (parsed.unsupported !== undefined)
    return refusal(
      "unsupported-compression",
      `${parsed.unsupported} is not read here: expected gzip, zstd or no compression`,
    );
  const fitting = candidates.filter(
    (rule) =>
      rule.type === parsed.type && (rule.names?.some((pattern) => matchesName(pattern, name)) ?? true),
  );
  if (fitting.length === 0)
    return refusal(
      "not-permitted",
      `no rule of this client allows the type ${parsed.type} with the name ${quoted(name)}`,
    );
  return { client, name, ruleOf: firstOfEachType(fitting) };
}

function firstOfEachType(rules: readonly Rule[]): ReadonlyMap<ArtefactType, Rule> {
  const first = new Map<ArtefactType, Rule>();
  for (const rule of rules) if (!first.has(rule.type)) first.set(rule.type, rule);
  return first;
}
