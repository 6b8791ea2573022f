import { expect, test } from "vitest";
import { parseFileName, parseRequest } from "../../src/request/request.ts";

// CVE-2017-8386: git-shell passed a repository's name that began with a dash on to a program, which took it for an option.

test.each([
  "-n",
  "--help",
  "-o",
  "--config=x",
  "-",
  "--",
  "sign -n",
  "sign --help",
  "--for -n",
  "--for a -n",
  "key -n",
  "status -n",
])("%j is no request: what begins with a dash is an option of the grammar or nothing", (command) => {
  expect(parseRequest(command)).toMatchObject({ kind: "refusal", code: "bad-request" });
});

test("no file name begins with a dash or a dot", () => {
  for (const name of ["-core.db", "--core.db", ".core.db", "..", "."])
    expect(parseFileName(name)).toBeUndefined();
  expect(parseFileName("core-.db")).toBe("core-.db");
});
