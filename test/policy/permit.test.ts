import { describe, expect, test } from "vitest";
import type { ArtefactType, DatabaseFacts, ImageFacts } from "../../src/artefact/artefact.ts";
import { parseConfig } from "../../src/config/parse-config.ts";
import { isRefusal } from "../../src/outcome.ts";
import type { Admission } from "../../src/policy/admission.ts";
import { permit } from "../../src/policy/permit.ts";
import { configText, rule } from "../support/signing-host.ts";

const KIB = 1024;
const DATABASE: DatabaseFacts = {
  kind: "database",
  type: "db",
  compression: "gzip",
  packages: [{ name: "apple", version: "1.0-1", sha256: undefined }],
  newestBuildDate: 1_700_000_000,
  expandedBytes: 10_240,
};
const EMPTY: DatabaseFacts = { ...DATABASE, type: "unknown", packages: [], newestBuildDate: undefined };
const IMAGE: ImageFacts = {
  kind: "image",
  type: "iso",
  volumeId: "ARCH_202611",
  publisher: "",
  application: "",
  createdAt: undefined,
  volumeBytes: 100 * KIB,
  bootable: false,
};

/** An admission under one rule for each type, each with these settings. */
function admission(types: readonly ArtefactType[], settings: Parameters<typeof rule>[0] = {}): Admission {
  const text = types.map((type) => rule({ id: `rule-${type}`, type, ...settings })).join("");
  const { rules } = parseConfig(configText({ stateDirectory: "/s", keyFile: "/k", rules: text }));
  return { client: "repos", name: undefined, ruleOf: new Map(rules.map((each) => [each.type, each])) };
}

/** The id of the rule that allows it, or the refusal's code. */
function outcome(...args: Parameters<typeof permit>): string {
  const answer = permit(...args);
  return isRefusal(answer) ? answer.code : answer.rule.id;
}

describe("a permit", () => {
  test("is of the rule for what the bytes are", () => {
    const all = admission(["db", "files", "iso"]);
    expect(outcome(all, DATABASE, KIB)).toBe("rule-db");
    expect(outcome(all, { ...DATABASE, type: "files" }, KIB)).toBe("rule-files");
    expect(outcome(all, IMAGE, KIB)).toBe("rule-iso");
    expect(permit(all, DATABASE, KIB)).toMatchObject({ kind: "permit", type: "db" });
  });

  test("is not to be had for what no rule is for", () => {
    expect(outcome(admission(["files"]), DATABASE, KIB)).toBe("not-permitted");
    expect(outcome(admission(["db"]), IMAGE, KIB)).toBe("not-permitted");
    expect(outcome(admission(["iso"]), EMPTY, KIB)).toBe("not-permitted");
  });

  test("goes up to the rule's own size, received and expanded, to the byte", () => {
    const small = admission(["db", "iso"], { max_size: "64 KiB", max_expanded_size: "10 KiB" });
    expect(outcome(small, DATABASE, 64 * KIB)).toBe("rule-db");
    expect(outcome(small, DATABASE, 64 * KIB + 1)).toBe("too-large");
    expect(outcome(small, IMAGE, 64 * KIB + 1)).toBe("too-large");
    expect(outcome(small, { ...DATABASE, expandedBytes: 10 * KIB + 1 }, KIB)).toBe("expands-too-far");
    expect(outcome(small, IMAGE, KIB), "an image does not expand").toBe("rule-iso");
  });

  test("is not to be had for a database of no packages, unless the rule says so", () => {
    expect(outcome(admission(["db"]), EMPTY, KIB)).toBe("empty-database");
    expect(outcome(admission(["db"], { allow_empty: true }), EMPTY, KIB)).toBe("rule-db");
  });

  test("takes an empty database for what its name says, and without one for a db before files", () => {
    expect(outcome(admission(["db", "files"], { allow_empty: true }), EMPTY, KIB)).toBe("rule-db");
    expect(outcome(admission(["files"], { allow_empty: true }), EMPTY, KIB)).toBe("rule-files");
    expect(outcome(admission(["files", "iso"], { allow_empty: true }), EMPTY, KIB)).toBe("rule-files");
  });
});
