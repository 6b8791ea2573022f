import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { Account } from "../../src/check/account.ts";
import { authorizedKeysFiles, parseAuthorizedKeys } from "../../src/check/authorized-keys.ts";
import { checkAuthorizedKeys } from "../../src/check/check-authorized-keys.ts";
import type { Mode } from "../../src/config/config.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const account: Account = {
  name: "signer",
  uid: 12345,
  gid: 12345,
  home: "/var/lib/signer",
  shell: "/bin/sh",
};
const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA repos";

describe("AuthorizedKeysFile", () => {
  test.each([
    ["/etc/ssh/authorized_keys.d/%u", ["/etc/ssh/authorized_keys.d/signer"]],
    [".ssh/authorized_keys .ssh/b", ["/var/lib/signer/.ssh/authorized_keys", "/var/lib/signer/.ssh/b"]],
    ["%h/keys", ["/var/lib/signer/keys"]],
    ["/keys/%U/%%u", ["/keys/12345/%u"]],
    ["none", []],
  ])("%s stands for %j", (setting, expected) => {
    expect(authorizedKeysFiles(setting, account)).toEqual(expected);
  });
});

describe("a line of authorized_keys", () => {
  test.each([
    [KEY, { isRestricted: false, command: undefined }],
    [`ecdsa-sha2-nistp256 AAAA x`, { isRestricted: false, command: undefined }],
    [`sk-ssh-ed25519@openssh.com AAAA x`, { isRestricted: false, command: undefined }],
    [`restrict ${KEY}`, { isRestricted: true, command: undefined }],
    [`restrict,command="a b" ${KEY}`, { isRestricted: true, command: "a b" }],
    [`COMMAND="a",Restrict\t${KEY}`, { isRestricted: true, command: "a" }],
    [`from="1.2.3.4,::1",command="a \\"b\\",c" ${KEY}`, { isRestricted: false, command: 'a "b",c' }],
    [`command="a",command="b" ${KEY}`, { isRestricted: false, command: "a" }],
    ["  # x", undefined],
    ["", undefined],
    // Nothing that hides a command in what is none.
    [`environment="command=\\"x\\"" ${KEY}`, { isRestricted: false, command: undefined }],
    [`${KEY} command="x"`, { isRestricted: false, command: undefined }],
    [`restrict,command="a ${KEY}`, { isRestricted: false, command: undefined }],
    [`restrict,command="a"b ${KEY}`, { isRestricted: false, command: undefined }],
  ])("%s", (line, expected) => {
    expect(parseAuthorizedKeys(`\n${line}\n`)).toEqual(
      expected === undefined ? [] : [{ line: 2, ...expected }],
    );
  });
});

describe("check", () => {
  const check = (...lines: readonly string[]) => checkIn("standalone", ...lines);

  async function checkIn(mode: Mode, ...lines: readonly string[]) {
    const home = await tempDir(cleanup);
    mkdirSync(join(home, "keys"));
    writeFileSync(join(home, "keys", "signer"), lines.map((line) => `${line}\n`).join(""));
    const findings = checkAuthorizedKeys("keys/%u", { ...account, home }, new Set(["repos"]), mode);
    return findings.map(({ level, text }) => `${level}: ${text.replaceAll(`${home}/`, "")}`);
  }
  const command = (what: string) => `command="/usr/bin/signer ${what}"`;

  test("is content with keys that run accept for a client of the rules", async () => {
    expect(await check("# comment", `restrict,${command("accept --client repos")} ${KEY}`)).toEqual([
      "ok: each SSH key in keys/signer runs signer accept",
    ]);
    expect(await check(`restrict,${command("--config /x accept --client repos")} ${KEY}`)).toEqual([
      expect.stringMatching(/^ok/),
    ]);
  });

  test("a key that may run anything is an error, by its line", async () => {
    const good = `restrict,${command("accept --client repos")} ${KEY}`;
    expect(await check(good, KEY, `restrict ${KEY}`)).toEqual([
      expect.stringMatching(/^error: keys\/signer line 2: without command= .* all that signer may/),
      expect.stringMatching(/^error: keys\/signer line 3: /),
    ]);
  });

  test("in split mode such a key gets at no key of ours, and is an error still", async () => {
    expect(await checkIn("split", `restrict ${KEY}`)).toEqual([
      expect.stringMatching(/^error: keys\/signer line 1: without command= .* may, and claim any address$/),
    ]);
  });

  test("another command, a client that no rule names and a missing restrict are warnings", async () => {
    expect(
      await check(
        `restrict,command="/usr/bin/backup" ${KEY}`,
        `restrict,${command("accept --client other")} ${KEY}`,
        `${command("accept --client=repos")} ${KEY}`,
      ),
    ).toEqual([
      "warning: keys/signer line 1: command= is not signer accept --client NAME",
      'warning: keys/signer line 2: no rule names the client "other"',
      expect.stringMatching(/^warning: keys\/signer line 3: restrict is missing/),
    ]);
  });

  test("no file is a warning, unless signer pull asks instead; a file that this process cannot read a note", async () => {
    const home = await tempDir(cleanup);
    const findings = () => checkAuthorizedKeys("a b", { ...account, home }, new Set(["repos"]), "standalone");
    expect(findings()).toMatchObject([
      { level: "warning", text: `no SSH key may log into signer: expected ${home}/a or ${home}/b` },
    ]);
    const fetched = checkAuthorizedKeys("a b", { ...account, home }, new Set(["repos"]), "split", true);
    expect(fetched).toMatchObject([
      { level: "ok", text: expect.stringMatching(/^no SSH key .* signer pull/) },
    ]);
    mkdirSync(join(home, "a"));
    chmodSync(join(home, "a"), 0o700);
    expect(findings()).toMatchObject([{ level: "note" }]);
  });
});
