import { describe, expect, it } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import { admit, rulesFor } from "../../src/policy/admission.ts";
import { parseAddress } from "../../src/request/peer.ts";
import { parseFileName } from "../../src/request/request.ts";

const { rules } = parseConfig(`
origin = "signer.example.org/repo"
state = "/var/lib/signer"
[keys.repo]
file = "/etc/signer/repo.key"

[[rules]]
id = "core"
client = "repos"
from = ["192.0.2.10", "2001:db8::/64"]
type = "db"
names = ["core.db.tar.gz", "*-testing.db.tar.gz"]
key = "repo"

[[rules]]
id = "any-db"
client = "repos"
from = ["192.0.2.0/24"]
type = "db"
key = "repo"

[[rules]]
id = "any-files"
client = "repos"
from = ["192.0.2.0/24"]
type = "files"
key = "repo"

[[rules]]
id = "named-only"
client = "strict"
type = "db"
names = ["extra.db.tar.gz"]
key = "repo"
`);

function ask(client: string, address: string, name?: string): string | Record<string, string> {
  const parsedAddress = parseAddress(address);
  const parsedName = name === undefined ? undefined : parseFileName(name);
  if (parsedAddress === undefined || (name !== undefined && parsedName === undefined))
    throw new Error("bad test input");
  const answer = admit(rules, client, parsedAddress, parsedName);
  if ("kind" in answer) return answer.code;
  return Object.fromEntries([...answer.ruleOf].map(([type, rule]) => [type, rule.id]));
}

describe("admit", () => {
  it("lets the first rule decide that fits client, address, type and name", () => {
    expect(ask("repos", "192.0.2.10", "core.db.tar.gz")).toEqual({ db: "core" });
    expect(ask("repos", "192.0.2.10", "core-testing.db.tar.gz")).toEqual({ db: "core" });
    expect(ask("repos", "192.0.2.10", "extra.db.tar.gz")).toEqual({ db: "any-db" });
    expect(ask("repos", "192.0.2.11", "core.db.tar.gz")).toEqual({ db: "any-db" });
    expect(ask("repos", "2001:db8::5", "core.db.tar.gz")).toEqual({ db: "core" });
  });

  it("leaves the type open where no name is given, and passes over rules that need one", () => {
    expect(ask("repos", "192.0.2.10")).toEqual({ db: "any-db", files: "any-files" });
  });

  it.each([
    ["unknown-client", "nobody", "192.0.2.10", "core.db.tar.gz"],
    ["unknown-client", "Repos", "192.0.2.10", "core.db.tar.gz"],
    ["foreign-address", "repos", "203.0.113.1", "core.db.tar.gz"],
    ["foreign-address", "repos", "2001:db8:1::5", "core.db.tar.gz"],
    ["not-permitted", "repos", "2001:db8::5", "extra.db.tar.gz"],
    ["not-permitted", "repos", "2001:db8::5", undefined],
    ["not-permitted", "repos", "192.0.2.10", "archlinux-2026.11.01-x86_64.iso"],
    ["not-permitted", "strict", "203.0.113.1", "core.db.tar.gz"],
    ["not-permitted", "strict", "203.0.113.1", "extra.files.tar.gz"],
    ["not-permitted", "strict", "203.0.113.1", undefined],
    ["not-recognised", "repos", "192.0.2.10", "pacman-7.0.0-1-x86_64.pkg.tar.zst"],
    ["not-recognised", "repos", "192.0.2.10", "core.db.tar.gz.sig"],
    ["unsupported-compression", "repos", "192.0.2.10", "core.db.tar.xz"],
  ])("answers %s to %s from %s with %s", (code, client, address, name) => {
    expect(ask(client, address, name)).toBe(code);
  });
});

describe("rulesFor", () => {
  it("gives the rules of this client and address in file order", () => {
    const address = parseAddress("192.0.2.10");
    const found = address && rulesFor(rules, "repos", address);
    expect(found).toMatchObject([{ id: "core" }, { id: "any-db" }, { id: "any-files" }]);
  });
});
