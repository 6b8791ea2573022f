import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { Authority } from "../../src/ca/authority.ts";
import { Openssl } from "../../src/ca/openssl.ts";
import { addCaCommand } from "../../src/cli/ca-command.ts";
import type { Refusal } from "../../src/outcome.ts";
import { Cleanup } from "../support/cleanup.ts";
import { run, runOk } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";
import { issueClient, NOW, newAuthority } from "./fixture.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

/** Runs `signer ca …`: what it printed, or why it refused. */
async function ca(...argv: readonly string[]): Promise<string> {
  const lines: string[] = [];
  let refused: Refusal | undefined;
  const program = new Command("signer").exitOverride().configureOutput({ writeErr: () => undefined });
  addCaCommand(program, {
    print: (line) => void lines.push(line),
    finish: (result) => {
      refused = result;
    },
  });
  for (const command of program.commands.flatMap((one) => [one, ...one.commands]))
    command.exitOverride().configureOutput({ outputError: () => undefined });
  await program.parseAsync(["ca", ...argv], { from: "user" });
  return refused === undefined ? lines.join("\n") : `${refused.code}: ${refused.reason}`;
}

describe("signer ca", () => {
  let directory: string;

  beforeEach(async () => {
    directory = join(await tempDir(cleanup), "the ca's");
  });

  test("init, issue, list: from nothing to what both sides install", async () => {
    expect(await ca("init", directory)).toMatch(
      /^made {2}\/.*\/the ca's, the CA "signer CA \d{4}-\d\d-\d\d", until \d{4}-\d\d-\d\d\n\nnext:\n {2}signer ca issue '\//,
    );
    await ca("issue", directory, "server", "Repo.example.org", "192.0.2.7", "2001:db8::1");
    await ca("issue", directory, "client", "enclave", "--days", "20");
    const listed = await ca("list", directory);
    expect(listed).toMatch(/^NAME +USE +SERIAL +FROM +UNTIL +DAYS LEFT +REVOKED\n/);
    expect(listed).toMatch(/^repo\.example\.org +server +[0-9a-f]{8} .* 396$/m);
    expect(listed).toMatch(/^crl\.pem {2}0 revoked, until .*, 396 days left$/m);
    expect(listed).toMatch(/^enclave \([0-9a-f]{8}\) ends .*: signer ca issue '.*' client enclave$/m);
    expect(listed).not.toContain("repo.example.org (");
    const json = JSON.parse(await ca("list", directory, "--json"));
    expect(json).toMatchObject({ days_left: 3649, crl: { days_left: 396, complete: true } });
    expect(
      json.certificates
        .map((one: Record<string, unknown>) => [one["name"], one["use"], one["days_left"], one["revoked"]])
        .toSorted(),
    ).toEqual([
      ["enclave", "client", 19, null],
      ["repo.example.org", "server", 396, null],
    ]);
    const server = json.certificates.find((one: Record<string, unknown>) => one["use"] === "server");
    expect(server.hosts).toEqual(["repo.example.org", "192.0.2.7", "2001:DB8:0:0:0:0:0:1"]);
    expect(server.serial).toMatch(/^[0-9a-f]{40}$/);
    expect(existsSync(server.certificate) && existsSync(server.key)).toBe(true);
  });

  test("the command that it prints installs all that one side needs, in a folder's name of whatever kind", async () => {
    await ca("init", directory, "--algorithm", "ed25519", "--name", "Example: a CA", "--days", "100");
    for (const [use, name, files] of [
      ["server", "localhost", ["ca.pem", "crl.pem", "server.key", "server.pem"]],
      ["client", "enclave", ["ca.pem", "crl.pem", "enclave.key", "enclave.pem"]],
    ] as const) {
      const target = join(directory, "..", use);
      const line = /^ {2}(install .*)$/m.exec(await ca("issue", directory, use, name))?.[1] ?? "";
      await runOk("/bin/sh", [
        "-c",
        line.replace(/\/etc\/signer\/(nginx|pull)/, `"$0"`).replace(/-o \S+/, ""),
        target,
      ]);
      expect(readdirSync(target).toSorted()).toEqual(files);
      for (const file of files) expect(statSync(join(target, file)).mode & 0o777).toBe(0o600);
    }
  });

  test("revoke by name takes the only one there is, by serial number one of several", async () => {
    const authority = await newAuthority(cleanup);
    const [first, second] = [issueClient(authority), issueClient(authority)];
    const short = (serial: string) => serial.slice(0, 8);
    const several = await ca("revoke", authority.directory, "enclave");
    expect(several).toMatch(
      /^bad-request: "enclave" has 2 certificates: expected the serial number of one: /,
    );
    for (const { serial } of [first, second]) expect(several).toContain(`${short(serial)} (until `);
    expect(authority.revocations()).toEqual([]);
    expect(await ca("revoke", authority.directory, short(first.serial).toUpperCase())).toContain(
      `client enclave, serial ${first.serial}, is revoked\n`,
    );
    expect(await ca("revoke", authority.directory, "enclave")).toContain(
      `serial ${second.serial}, is revoked\n`,
    );
    expect(await ca("revoke", authority.directory, second.serial)).toContain("was revoked before");
    expect(authority.revocations()).toHaveLength(2);
    for (const unknown of ["nobody", first.serial.slice(0, 7), "00000000"])
      expect(await ca("revoke", authority.directory, unknown)).toMatch(
        /^bad-request: expected the name or serial/,
      );
    expect(await ca("list", authority.directory)).toMatch(/^crl\.pem {2}2 revoked/m);
  });

  test("list says where the list of revoked ones lacks one, and crl makes it whole", async () => {
    const authority = await newAuthority(cleanup);
    const client = issueClient(authority);
    const before = readFileSync(authority.crlFile);
    authority.revoke(client, NOW);
    rmSync(authority.crlFile);
    await runOk("/bin/sh", ["-c", 'cat > "$0"', authority.crlFile], { stdin: before });
    expect(await ca("list", authority.directory)).toContain(
      "crl.pem does not have all of them: signer ca crl ",
    );
    expect(JSON.parse(await ca("list", authority.directory, "--json")).crl.complete).toBe(false);
    expect(await ca("crl", authority.directory, "--days", "10")).toMatch(/^made .*crl\.pem, until /);
    expect(await ca("list", authority.directory)).toMatch(/crl\.pem {2}1 revoked, until \S+, 9 days left$/m);
  });

  test("a renewal names the certificate that is still good", async () => {
    const authority = await newAuthority(cleanup);
    const first = issueClient(authority);
    const said = await ca("issue", authority.directory, "client", "enclave");
    expect(said).toContain(`Another one, ${first.serial.slice(0, 8)}, is good until `);
    expect(await ca("issue", authority.directory, "server", "enclave")).not.toContain("Another one");
  });

  test("a certificate that ends soon is to be renewed, unless it has been", async () => {
    const authority = await newAuthority(cleanup);
    issueClient(authority, "enclave", 10);
    const hint = "client enclave";
    expect(await ca("list", authority.directory)).toContain(hint);
    issueClient(authority, "enclave", 100);
    expect(await ca("list", authority.directory)).not.toContain(hint);
  });

  test.each([
    [
      ["issue", "DIR", "server", "*.example.org"],
      'bad-request: expected a host name such as repo.example.org, or an address, not "*.example.org"',
    ],
    [
      ["issue", "DIR", "server", "a,DNS:b"],
      'bad-request: expected a host name such as repo.example.org, or an address, not "a,DNS:b"',
    ],
    [
      ["issue", "DIR", "server", `${"a".repeat(63)}.example`],
      "bad-request: expected one name of at most 64 characters among them",
    ],
    [["issue", "DIR", "client", "a", "b"], "bad-request: expected one name: a client has no others"],
    [
      ["issue", "DIR", "client", "a/CN=b"],
      'bad-request: expected a name of up to 64 letters, digits and . _ -, and not ca, crl or server, not "a/CN=b"',
    ],
    [["issue", "DIR", "both", "a"], 'bad-request: expected server or client, not "both"'],
  ])("%j is refused before anything is made", async (argv, expected) => {
    await ca("init", directory);
    const before = readdirSync(directory);
    expect(await ca(...argv.map((word) => (word === "DIR" ? directory : word)))).toBe(expected);
    expect(readdirSync(directory)).toEqual(before);
  });

  test("a CA's name of other characters is refused", async () => {
    expect(await ca("init", directory, "--name", "a\nb")).toBe(
      'bad-request: --name: expected up to 64 letters, digits, spaces and . : , ( ) _ -, not "a\\x0ab"',
    );
    expect(existsSync(directory)).toBe(false);
  });

  test.each(["0", "-1", "1.5", "36501", "1e3", "ten"])("--days %s is refused", async (days) => {
    await expect(ca("init", directory, `--days=${days}`)).rejects.toThrow(
      "expected a number of days, 1 to 36500",
    );
    expect(existsSync(directory)).toBe(false);
  });

  test("where there is no CA, init is named", async () => {
    mkdirSync(directory);
    await expect(ca("list", directory)).rejects.toMatchObject({ code: "no-state" });
  });

  test("the program itself ends with the status of what went wrong", async () => {
    const signer = join(import.meta.dirname, "../../src/cli/signer.ts");
    const [good, bad] = await Promise.all([
      run(process.execPath, [signer, "ca", "init", directory]),
      run(process.execPath, [signer, "ca", "issue", directory, "server", "a b"]),
    ]);
    expect(good).toMatchObject({ status: 0, stderr: "" });
    expect(bad).toMatchObject({ status: 64, stdout: Buffer.alloc(0) });
    expect(bad.stderr).toMatch(/^signer: bad-request: expected a host name/);
    expect(Authority.open(directory, Openssl.find()).name).toMatch(/^signer CA /);
  });
});
