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

  test("may be a report in the place of a command, of one printable line", () => {
    const request = { command: undefined, address: parseAddress("192.0.2.1"), sshKey: KEY };
    for (const code of ["bad-notification", "notification-rolled-back"] as const) {
      const report = { code, reason: "why" };
      expect(parseRelayRequest(encodeRelayRequest({ ...request, report }))).toEqual({ ...request, report });
    }
    const long = { code: "bad-notification", reason: `a\n${"x".repeat(5000)}` } as const;
    expect(parseRelayRequest(encodeRelayRequest({ ...request, report: long }))?.report?.reason).toMatch(
      /^a\?x{510}$/,
    );
  });

  test.each([
    ["no JSON", ""],
    ["another version", '{"version":1}'],
    ["no version", "{}"],
    ["a version that is text", '{"version":"2"}'],
    ["an unknown member", '{"client":"releng","version":2}'],
    ["white space", '{ "version":2}'],
    ["members in another order", '{"version":2,"command":"status"}'],
    ["a member twice", '{"version":2,"version":2}'],
    ["a command that is no text", '{"command":["status"],"version":2}'],
    ["a command of 514 characters", `{"command":"${"x".repeat(514)}","version":2}`],
    ["an address that is a name", '{"address":"localhost","version":2}'],
    ["an address in another spelling", '{"address":"::ffff:192.0.2.1","version":2}'],
    ["an address with a newline", '{"address":"192.0.2.1\\n","version":2}'],
    ["a fingerprint that is none", '{"ssh_key":"SHA256:x","version":2}'],
    ["a fingerprint with more behind it", `{"ssh_key":"${KEY} x","version":2}`],
    [
      "a report of a code that is the service's own",
      '{"report":{"code":"over-limit","reason":"x"},"version":2}',
    ],
    ["a report of a fault", '{"report":{"code":"log-broken","reason":"x"},"version":2}'],
    ["a report without a reason", '{"report":{"code":"bad-notification"},"version":2}'],
    ["a report with an empty reason", '{"report":{"code":"bad-notification","reason":""},"version":2}'],
    [
      "a report that moves the cursor",
      '{"report":{"code":"bad-notification","reason":"\\u001b[2J"},"version":2}',
    ],
    [
      "a report of 513 characters",
      `{"report":{"code":"bad-notification","reason":"${"x".repeat(513)}"},"version":2}`,
    ],
    [
      "a report with an unknown member",
      '{"report":{"code":"bad-notification","name":"x","reason":"x"},"version":2}',
    ],
    [
      "a report beside a command",
      '{"command":"status","report":{"code":"bad-notification","reason":"x"},"version":2}',
    ],
    ["a report that is text", '{"report":"bad-notification","version":2}'],
    ["a report that is a list", '{"report":["bad-notification","x"],"version":2}'],
    ["null", '{"command":null,"version":2}'],
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
