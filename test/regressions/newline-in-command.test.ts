import { expect, test } from "vitest";
import { parseAuthInfo, parseConnection } from "../../src/request/peer.ts";
import { parseFileName, parseKeyName, parseRequest, parseRequester } from "../../src/request/request.ts";

// A `$` in a pattern that also matches before a last newline, or a reader that looks at the first line alone.

test.each([
  "core.db\n",
  "\ncore.db",
  "core.db\nid",
  "core.db\r\n",
  "sign\ncore.db",
  "status\n",
  "key\n",
  "key repo\n",
  "--for a\n",
  "\n",
])("%j is no request", (command) => {
  expect(parseRequest(command)).toMatchObject({ kind: "refusal", code: "bad-request" });
});

test("no value of a request ends in a newline", () => {
  for (const parse of [parseFileName, parseKeyName, parseRequester]) expect(parse("a\n")).toBeUndefined();
  expect(parseConnection("192.0.2.1 1 192.0.2.2 22\n")).toBeUndefined();
  expect(parseConnection("192.0.2.1\n 1 192.0.2.2 22")).toBeUndefined();
  expect(parseAuthInfo("publickey ssh-ed25519 AAAA\r")).toBeUndefined();
});
