import { describe, expect, it } from "vitest";
import { encodeLogEntry, type LogEntry } from "../../../src/log/log-entry.ts";
import {
  checkpointMessage,
  encodeSyslogFrame,
  encodeSyslogMessage,
  entryMessage,
} from "../../../src/log/remote/syslog-message.ts";

const time = "2026-11-23T12:00:00.123Z";
const sender = { hostname: "signer.example.org", processId: 4711 };
const refused = {
  kind: "refused",
  seq: 3,
  time,
  client: "repos",
  code: "wrong-type",
  reason: 'expected a database, not "\\x1b[31m"',
} as const;

function encoded(entry: LogEntry): string {
  const message = entryMessage(encodeLogEntry(entry));
  if (message === undefined) throw new Error("expected an entry");
  return encodeSyslogMessage(message, sender);
}

describe("a syslog message", () => {
  it("carries the entry's line as it is, under its own time and kind", () => {
    expect(encoded(refused)).toBe(
      `<84>1 2026-11-23T12:00:00.123Z signer.example.org signer 4711 refused - ${encodeLogEntry(refused)}`,
    );
  });

  const hash = "0".repeat(64);
  const signature = {
    client: "repos",
    rule: "db",
    type: "db",
    size: 1,
    sha256: hash,
    sha512: hash + hash,
    key: "0".repeat(40),
    signature: "AAAA",
  } as const;
  const entries: Readonly<Record<LogEntry["kind"], LogEntry | undefined>> = {
    signed: { kind: "signed", seq: 1, time, ...signature, facts: {} },
    reissued: { kind: "reissued", seq: 1, time, ...signature, of: 0 },
    refused,
    "refused-summary": {
      kind: "refused-summary",
      seq: 1,
      time,
      code: "wrong-type",
      count: 2,
      from: time,
      to: time,
    },
    configured: { kind: "configured", seq: 1, time, rules: hash, summary: [] },
    "clock-accepted": { kind: "clock-accepted", seq: 1, time, previous: time },
    started: { kind: "started", seq: 0, time, origin: "a/b", verifier: "a/b+00000000+AA==" },
    restored: undefined,
  };
  // Facility authpriv (10 · 8) and informational 6, warning 4, notice 5.
  it.each([
    ["signed", 86],
    ["reissued", 86],
    ["refused", 84],
    ["refused-summary", 84],
    ["configured", 85],
    ["clock-accepted", 85],
    ["started", 85],
  ] as const)("of an entry %s has priority %i", (kind, priority) => {
    const entry = entries[kind];
    expect(entry && encoded(entry)).toMatch(new RegExp(`^<${priority}>1 .* ${kind} - \\{`));
  });

  it("carries a checkpoint, whose lines and dash become printable ASCII", () => {
    const message = checkpointMessage("a/b\n1\nAA==\n\n\u2014 a/b AAAA\n", time);
    expect(encodeSyslogMessage(message, sender)).toBe(
      `<85>1 ${time} signer.example.org signer 4711 checkpoint - ` +
        '{"checkpoint":"a/b\\n1\\nAA==\\n\\n\\u2014 a/b AAAA\\n"}',
    );
  });

  it.each(["", "two words", "caf\u00e9", "a\nb", "a".repeat(256)])(
    "has no host for the name %j",
    (hostname) => {
      const message = { severity: "notice", time, messageId: "checkpoint", text: "{}" } as const;
      expect(encodeSyslogMessage(message, { ...sender, hostname })).toContain(`${time} - signer 4711`);
    },
  );

  it("is refused where its text could begin another line or is no ASCII", () => {
    for (const text of ["{}\n<84>1", "\u2014", "\x1b", "\x7f"]) {
      const message = { severity: "notice", time, messageId: "checkpoint", text } as const;
      expect(() => encodeSyslogMessage(message, sender)).toThrow(TypeError);
    }
  });

  it("is not made of a line that is no entry", () => {
    for (const line of [
      "",
      "{}",
      `${encodeLogEntry(refused)} `,
      encodeLogEntry(refused).replace("repos", "r\npos"),
    ])
      expect(entryMessage(line)).toBeUndefined();
  });
});

describe("a frame", () => {
  it("counts the octets of its message", () => {
    const message = { severity: "notice", time, messageId: "checkpoint", text: "{}" } as const;
    const whole = encodeSyslogMessage(message, sender);
    expect(encodeSyslogFrame(message, sender)).toBe(`${Buffer.byteLength(whole)} ${whole}`);
  });
});
