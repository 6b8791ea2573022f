import { describe, expect, test } from "vitest";
import type { HostState } from "../../src/service/host-state.ts";
import { signingProblems } from "../../src/service/signing-problems.ts";
import { later, NOW, servedStateOf } from "./served-state.ts";

const codes = (changes: Partial<HostState>) =>
  signingProblems({ ...servedStateOf(), ...changes }).map(({ code }) => code);

const [key] = servedStateOf().keys;
const [remote] = servedStateOf().remoteLogs;
if (key === undefined || remote === undefined) throw new Error("expected a key and a remote log");
const problem = { code: "key-unusable", reason: "key repo: expired" } as const;
const failure = { at: NOW, reason: "timed out" };

describe("in the way of signing", () => {
  test.each([
    ["is a service that does not run, in split mode", { service: undefined }, ["service-unavailable"]],
    ["is a halt, which says it alone", { halted: "stopped" }, ["log-broken"]],
    ["is a log that cannot be read", { log: { code: "no-state", reason: "none" } }, ["no-state"]],
    [
      "is a last entry five minutes ahead of the clock",
      { log: { entries: 1, lastEntryAt: later(300) } },
      ["clock-behind"],
    ],
    ["is a key that a rule needs", { keys: [{ ...key, problem }] }, ["key-unusable"]],
    [
      "is a required remote log that failed and is not there",
      { remoteLogs: [{ ...remote, connected: false, failure }] },
      ["remote-log-unavailable"],
    ],
  ] satisfies [string, Partial<HostState>, string[]][])("%s", (_, changes, expected) => {
    expect(codes(changes)).toEqual(expected);
  });

  test.each([
    ["where all is well, a limit used up included", {}],
    ["where no service runs in standalone mode", { mode: "standalone", service: undefined }],
    ["where the last entry is less far ahead", { log: { entries: 1, lastEntryAt: later(299) } }],
    ["where a key is unusable that no rule needs", { keys: [{ ...key, name: "other", problem }] }],
    [
      "where a remote log failed that nothing waits for",
      { remoteLogs: [{ ...remote, required: false, connected: false, failure }] },
    ],
    ["where a remote log is not connected yet", { remoteLogs: [{ ...remote, connected: false }] }],
  ] satisfies [string, Partial<HostState>][])("is nothing %s", (_, changes) => {
    expect(codes(changes)).toEqual([]);
  });
});
