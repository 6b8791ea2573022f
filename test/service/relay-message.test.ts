import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EXIT } from "../../src/outcome.ts";
import { parseAddress } from "../../src/request/peer.ts";
import { parseRequest } from "../../src/request/request.ts";
import {
  encodeRelayOutcome,
  encodeRelayRequest,
  parseRelayOutcome,
  parseRelayRequest,
  type RelayOutcome,
} from "../../src/service/relay-message.ts";

const KEY = `SHA256:${"a".repeat(43)}`;
const text = (json: string): Buffer => Buffer.from(json, "latin1");

describe("a relay's request", () => {
  test("is read as it was written, whatever the client put into its command", () => {
    const address = fc.constantFrom("192.0.2.1", "2001:db8::1", undefined);
    const sshKey = fc.constantFrom(KEY, undefined);
    const command = fc.option(fc.string({ unit: "binary", maxLength: 80 }), { nil: undefined });
    fc.assert(
      fc.property(command, address, sshKey, (command, from, sshKey) => {
        const request = { command, address: from && parseAddress(from), sshKey };
        expect(parseRelayRequest(encodeRelayRequest(request))).toEqual(request);
      }),
    );
  });

  test("is cut where it is longer than any request, and refused as the whole would be", () => {
    for (const command of ["x".repeat(513), `batch ${"x".repeat(100_000)}`, "\u{1f600}".repeat(40_000)]) {
      const read = parseRelayRequest(encodeRelayRequest({ command, address: undefined, sshKey: undefined }));
      expect(command.startsWith(read?.command ?? "-")).toBe(true);
      expect(parseRequest(read?.command)).toEqual(parseRequest(command));
    }
  });

  test.each([
    ["no JSON", ""],
    ["another version", '{"version":2}'],
    ["no version", "{}"],
    ["a version that is text", '{"version":"1"}'],
    ["an unknown member", '{"client":"releng","version":1}'],
    ["white space", '{ "version":1}'],
    ["members in another order", '{"version":1,"command":"status"}'],
    ["a member twice", '{"version":1,"version":1}'],
    ["a command that is no text", '{"command":["status"],"version":1}'],
    ["a command of 514 characters", `{"command":"${"x".repeat(514)}","version":1}`],
    ["an address that is a name", '{"address":"localhost","version":1}'],
    ["an address in another spelling", '{"address":"::ffff:192.0.2.1","version":1}'],
    ["an address with a newline", '{"address":"192.0.2.1\\n","version":1}'],
    ["a fingerprint that is none", '{"ssh_key":"SHA256:x","version":1}'],
    ["a fingerprint with more behind it", `{"ssh_key":"${KEY} x","version":1}`],
    ["null", '{"command":null,"version":1}'],
    ["a list", "[]"],
    ["null alone", "null"],
  ])("is not read from %s", (_, json) => {
    expect(parseRelayRequest(text(json))).toBeUndefined();
  });
});

describe("an outcome", () => {
  test("is read as it was written, for each code", () => {
    const outcomes: RelayOutcome[] = [
      { kind: "answered" },
      ...Object.keys(EXIT).map((code) => ({
        kind: "failed" as const,
        code: code as keyof typeof EXIT,
        reason: "why",
      })),
    ];
    for (const outcome of outcomes) expect(parseRelayOutcome(encodeRelayOutcome(outcome))).toEqual(outcome);
  });

  test("has a reason of one printable line of bounded length", () => {
    const read = parseRelayOutcome(
      encodeRelayOutcome({ kind: "failed", code: "busy", reason: `a\nb\u001b${"x".repeat(5000)}` }),
    );
    expect(read).toMatchObject({ kind: "failed", reason: expect.stringMatching(/^a\?b\?x{2044}$/) });
    expect(parseRelayOutcome(encodeRelayOutcome({ kind: "failed", code: "busy", reason: "" }))).toBeDefined();
  });

  test.each([
    ["no JSON", "answered"],
    ["an unknown kind", '{"kind":"signed"}'],
    ["an unknown code", '{"code":"all-is-well","kind":"failed","reason":"x"}'],
    ["a code that objects have", '{"code":"toString","kind":"failed","reason":"x"}'],
    ["a failure without a reason", '{"code":"busy","kind":"failed"}'],
    ["an empty reason", '{"code":"busy","kind":"failed","reason":""}'],
    ["a reason that moves the cursor", '{"code":"busy","kind":"failed","reason":"\\u001b[2J"}'],
    ["an answer with a reason", '{"kind":"answered","reason":"x"}'],
    ["an unknown member", '{"kind":"answered","status":0}'],
  ])("is not read from %s", (_, json) => {
    expect(parseRelayOutcome(text(json))).toBeUndefined();
  });
});
