import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseClientConfig, readClientConfig } from "../../src/client/client-config.ts";
import { Fault } from "../../src/outcome.ts";

const MINIMAL = 'host = "signer"\npublic_key = "/etc/signer/repo.asc"\n';
const EXAMPLE = new URL("../../client.toml.example", import.meta.url);

/** The message of the one fault that a wrong configuration is. */
function mistakes(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof Fault && error.code === "bad-configuration") return error.message;
    throw error;
  }
  return "none";
}

test("the example shipped is a configuration, and its commented settings show their defaults or forms", () => {
  const text = readFileSync(EXAMPLE, "utf8");
  const plain = parseClientConfig(text, "f");
  expect(plain).toEqual({ ...parseClientConfig(MINIMAL, "f"), host: "signer.example.org" });
  const all = text.replace(/^# (?=[a-z_]+ = )/gm, "").replace(/^(host_key|ssh_command) .*$/gm, "");
  expect(parseClientConfig(all, "f")).toMatchObject({
    waitMs: 300_000,
    timeoutMs: 60_000,
    port: 22,
    for: "alice",
    identities: ["/etc/signer/client_ed25519"],
  });
});

test("all mistakes are named at once, also those between settings", () => {
  const said = mistakes(() =>
    parseClientConfig(
      'host = "-oProxyCommand=x"\nport = 0\nhots = "x"\nssh_command = ["ssh"]\nagent = "rel"\ntimeout = "0 s"',
      "f",
    ),
  );
  for (const key of [
    "host:",
    "port:",
    "hots: unknown key",
    "agent:",
    "timeout:",
    "public_key:",
    "agent: not with",
  ])
    expect(said).toContain(key);
});

describe("refused", () => {
  test.each([
    ["user", '"-l"'],
    ["user", '"a b"'],
    ["identities", '["relative"]'],
    ["identities", "[]"],
    ["host_key", '"ssh-ed25519 AAAA"'],
    ["ssh_command", "[]"],
    ["ssh_command", '""'],
    ["for", '"two words"'],
    ["wait", '"soon"'],
    ["wait", '"25 days"'],
    ["ssh_config", '"config"'],
  ])("%s = %s", (key, value) => {
    expect(mistakes(() => parseClientConfig(`${MINIMAL}${key} = ${value}\n`, "f"))).toContain(`${key}`);
  });

  test("what is not TOML, by line", () => {
    expect(mistakes(() => parseClientConfig("host = \n", "f"))).toContain("line 1");
  });
});

test("what is left out means: no waiting, a minute of silence", () => {
  expect(parseClientConfig(MINIMAL, "f")).toMatchObject({
    waitMs: 0,
    timeoutMs: 60_000,
    sshCommand: undefined,
  });
});

test("host and public key may come from elsewhere, and come first", () => {
  const overrides = { host: "other", publicKeyFile: "/other.asc" };
  expect(parseClientConfig("", "f", overrides)).toMatchObject(overrides);
  expect(parseClientConfig(MINIMAL, "f", overrides)).toMatchObject(overrides);
  expect(mistakes(() => parseClientConfig(MINIMAL, "f", { host: "-x" }))).toContain("SIGNER_HOST");
});

test("a file that is missing is an error only where it must exist", () => {
  expect(mistakes(() => readClientConfig("/nonexistent"))).toContain("ENOENT");
  const overrides = { host: "h", publicKeyFile: "/k" };
  expect(readClientConfig("/nonexistent", { mustExist: false, overrides })).toMatchObject({ host: "h" });
});
