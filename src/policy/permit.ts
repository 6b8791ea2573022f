import type { ArtefactFacts, ArtefactType } from "../artefact/artefact.ts";
import { type Refusal, refusal } from "../outcome.ts";
import type { Admission } from "./admission.ts";
import { encodeSize } from "./quantity.ts";
import type { Rule } from "./rule.ts";

/** A rule allows these very bytes, limits apart: those are for the transaction that takes a place in them. */
export interface Permit {
  readonly kind: "permit";
  readonly rule: Rule;
  readonly type: ArtefactType;
}

/** Decides what the bytes are, and whether the rule for it allows them. */
export function permit(admission: Admission, facts: ArtefactFacts, sizeBytes: number): Permit | Refusal {
  const type = typeOf(admission, facts);
  const rule = admission.ruleOf.get(type);
  if (rule === undefined)
    return refusal("not-permitted", `no rule of this client allows the type ${type} without a name`);
  if (sizeBytes > rule.maxBytes) return refusal("too-large", `expected at most ${encodeSize(rule.maxBytes)}`);
  if (facts.kind === "database") {
    if (facts.expandedBytes > rule.maxExpandedBytes)
      return refusal(
        "expands-too-far",
        `expected at most ${encodeSize(rule.maxExpandedBytes)} after decompression`,
      );
    if (facts.packages.length === 0 && !rule.allowEmpty)
      return refusal("empty-database", "expected at least one package: the rule does not say allow_empty");
  }
  return { kind: "permit", rule, type };
}

/** An empty database looks the same as db and as files: it is what the name says, and without a name db before files. */
function typeOf(admission: Admission, facts: ArtefactFacts): ArtefactType {
  if (facts.type !== "unknown") return facts.type;
  return admission.ruleOf.has("db") || !admission.ruleOf.has("files") ? "db" : "files";
}
