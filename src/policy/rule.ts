import type { ArtefactType } from "../artefact/artefact.ts";
import type { KeyName } from "../request/request.ts";
import { type AddressRange, encodeAddressRange } from "./address-range.ts";
import { encodeLimit, type Limit } from "./limit.ts";
import type { NamePattern } from "./name-pattern.ts";
import { encodeDuration, encodeSize } from "./quantity.ts";

/** One `[[rules]]` of the configuration: who may have what signed, with which key, how often. */
export interface Rule {
  /** Limits are counted under this id: renaming a rule starts its limits anew, and leaves a `configured` entry. */
  readonly id: string;
  /** The `--client` of the forced command. */
  readonly client: string;
  /** Undefined: from anywhere that authorized_keys lets in. */
  readonly from: readonly AddressRange[] | undefined;
  readonly type: ArtefactType;
  /** Undefined: any name, or none. */
  readonly names: readonly NamePattern[] | undefined;
  readonly key: KeyName;
  /** Of the file as received, compressed. */
  readonly maxBytes: number;
  /** Of a database after decompression. */
  readonly maxExpandedBytes: number;
  /** Whether a database of no packages is signed. */
  readonly allowEmpty: boolean;
  readonly limits: readonly Limit[];
  readonly limitsPerName: readonly Limit[];
  /** How long the signature is valid; undefined: for ever. */
  readonly signatureExpiresMs: number | undefined;
}

/**
 * The rules as text, one line each, in file order: what a `configured` entry is made of. Two configurations with the
 * same lines decide alike.
 */
export function describeRules(rules: readonly Rule[]): readonly string[] {
  return rules.map((rule) => {
    const parts = [
      `${rule.id}: client ${rule.client}`,
      `from ${rule.from?.map(encodeAddressRange).join(" ") ?? "anywhere"}`,
      `type ${rule.type}`,
      `names ${rule.names?.join(" ") ?? "any"}`,
      `key ${rule.key}`,
      `max ${encodeSize(rule.maxBytes)}, ${encodeSize(rule.maxExpandedBytes)} expanded`,
      rule.allowEmpty ? "empty allowed" : "not empty",
      `limits ${rule.limits.map(encodeLimit).join(", ") || "none"}`,
      `per name ${rule.limitsPerName.map(encodeLimit).join(", ") || "none"}`,
      rule.signatureExpiresMs === undefined
        ? "never expires"
        : `expires after ${encodeDuration(rule.signatureExpiresMs)}`,
    ];
    return parts.join("; ");
  });
}
