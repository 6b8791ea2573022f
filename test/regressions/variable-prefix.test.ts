import { expect, test } from "vitest";
import { parseRequest } from "../../src/request/request.ts";

// A server that parses `VAR=value` before the command, be it to drop it, reads another command than was written.

test.each([
  "A=b core.db",
  "LD_PRELOAD=/tmp/x sign core.db",
  "NODE_OPTIONS=--inspect status",
  "A= core.db",
  "A=b",
  "env A=b core.db",
  "=core.db",
])("%j is no request", (command) => {
  expect(parseRequest(command)).toMatchObject({ kind: "refusal", code: "bad-request" });
});
