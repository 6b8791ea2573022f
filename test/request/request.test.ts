import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isRefusal } from "../../src/outcome.ts";
import {
  encodeRequest,
  parseFileName,
  parseKeyName,
  parseRequest,
  parseRequester,
} from "../../src/request/request.ts";

const accepted: readonly [string | undefined, object][] = [
  [undefined, { kind: "sign", name: undefined, for: undefined }],
  ["", { kind: "sign", name: undefined, for: undefined }],
  ["sign", { kind: "sign", name: undefined, for: undefined }],
  ["foo.db.tar.gz", { kind: "sign", name: "foo.db.tar.gz", for: undefined }],
  ["sign foo.db.tar.gz", { kind: "sign", name: "foo.db.tar.gz", for: undefined }],
  ["--for alice", { kind: "sign", name: undefined, for: "alice" }],
  ["--for alice foo.db", { kind: "sign", name: "foo.db", for: "alice" }],
  ["sign --for alice@example.org foo.db", { kind: "sign", name: "foo.db", for: "alice@example.org" }],
  ["sign key", { kind: "sign", name: "key", for: undefined }],
  ["sign sign", { kind: "sign", name: "sign", for: undefined }],
  ["signature.iso", { kind: "sign", name: "signature.iso", for: undefined }],
  ["status.db", { kind: "sign", name: "status.db", for: undefined }],
  ["_@+", { kind: "sign", name: "_@+", for: undefined }],
  ["a".repeat(255), { kind: "sign", name: "a".repeat(255), for: undefined }],
  ["key", { kind: "key", key: undefined }],
  ["key repo", { kind: "key", key: "repo" }],
  ["status", { kind: "status", format: "text" }],
  ["status --json", { kind: "status", format: "json" }],
  ["batch", { kind: "batch", for: undefined }],
  ["batch --for alice", { kind: "batch", for: "alice" }],
  ["batch.db", { kind: "sign", name: "batch.db", for: undefined }],
  ["sign batch", { kind: "sign", name: "batch", for: undefined }],
];

const refused: readonly string[] = [
  " ",
  "\n",
  "sign ",
  " sign",
  "sign  foo.db",
  "foo.db ",
  "foo.db\n",
  "foo.db\nid",
  "sign\nfoo.db",
  "foo.db; id",
  "foo.db bar.db",
  "sign foo.db bar.db",
  "../foo.db",
  "/etc/passwd",
  "a/b",
  ".foo.db",
  "-foo.db",
  "--help",
  "--for",
  "--for ",
  "--for alice ",
  "--for=alice foo.db",
  "--for -x foo.db",
  "--for al/ice foo.db",
  `--for ${"a".repeat(65)} foo.db`,
  "--for alice --for bob foo.db",
  "VAR=value foo.db",
  "sign\tfoo.db",
  "foo\u001b[2J.db",
  "foo\u0000.db",
  "föö.db",
  "ſign foo.db",
  "a".repeat(256),
  "key repo extra",
  "key ",
  "key Repo",
  "key ../repo",
  "status now",
  "status ",
  "status --json ",
  "status --json --json",
  "status  --json",
  "status --text",
  "status\n",
  "batch ",
  "batch\n",
  "batch foo.db",
  "batch --for",
  "batch --for ",
  "batch --for al/ice",
  "batch --for alice foo.db",
  "batch --for alice ",
  "batch --for alice --for bob",
  "--for alice batch extra",
  "STATUS now",
  "a".repeat(100 * 1024),
  "a ".repeat(512 * 1024),
];

describe("parseRequest", () => {
  it.each(accepted)("reads %j", (command, request) => {
    expect(parseRequest(command)).toEqual(request);
  });

  it.each(refused.map((command) => [command.slice(0, 40), command]))(
    "refuses %j as bad-request",
    (_, command) => {
      expect(parseRequest(command)).toMatchObject({ kind: "refusal", code: "bad-request" });
    },
  );

  it("takes no command of more than 512 characters, whatever it says", () => {
    expect(parseRequest(`--for ${"a".repeat(64)} ${"b".repeat(255)}`)).toMatchObject({ kind: "sign" });
    expect(parseRequest("a".repeat(513))).toMatchObject({
      reason: expect.stringContaining("at most 512 characters"),
    });
  });

  it("answers any text with a request or a printable bad-request, and never throws", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 600 }), (command) => {
        const answer = parseRequest(command);
        if (!isRefusal(answer)) return parseRequest(encodeRequest(answer)) !== undefined;
        return answer.code === "bad-request" && /^[\x20-\x7e]+$/.test(answer.reason);
      }),
    );
  });

  it("reads back what encodeRequest writes", () => {
    const name = fc
      .stringMatching(/^[A-Za-z0-9@_+][A-Za-z0-9@._+-]{0,254}$/)
      .map((text) => parseFileName(text));
    const who = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9@._+-]{0,63}$/).map((text) => parseRequester(text));
    const key = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,63}$/).map((text) => parseKeyName(text));
    const request = fc.oneof(
      fc.record({
        kind: fc.constant("sign" as const),
        name: fc.option(name, { nil: undefined }),
        for: fc.option(who, { nil: undefined }),
      }),
      fc.record({ kind: fc.constant("key" as const), key: fc.option(key, { nil: undefined }) }),
      fc.record({
        kind: fc.constant("status" as const),
        format: fc.constantFrom("text" as const, "json" as const),
      }),
      fc.record({ kind: fc.constant("batch" as const), for: fc.option(who, { nil: undefined }) }),
    );
    fc.assert(
      fc.property(request, (value) => {
        expect(parseRequest(encodeRequest(value))).toEqual(value);
      }),
    );
  });
});
