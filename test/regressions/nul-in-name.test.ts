import { expect, test } from "vitest";
import { parseNamePattern } from "../../src/policy/name-pattern.ts";
import { parseAddress } from "../../src/request/peer.ts";
import { parseFileName, parseRequest } from "../../src/request/request.ts";

// siguldry 0.7.3: a NUL in a certificate's name cut it short for one reader and not for another.

test("a NUL is in no request, name, pattern or address", () => {
  for (const command of [
    "core.db\0",
    "core.db\0.iso",
    "\0",
    "sign\0core.db",
    "status\0",
    "key\0",
    "key repo\0x",
  ])
    expect(parseRequest(command)).toMatchObject({ kind: "refusal", code: "bad-request" });
  expect(parseFileName("a\0b")).toBeUndefined();
  expect(parseNamePattern("a\0*")).toBeUndefined();
  expect(parseAddress("192.0.2.1\0")).toBeUndefined();
});
