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
  const all = text.replace(/^# (?=[a-z_]+ = |\[)/gm, "").replace(/^(host_key|ssh_command) .*$/gm, "");
  expect(parseClientConfig(all, "f")).toMatchObject({
    waitMs: 300_000,
    timeoutMs: 60_000,
    port: 22,
    for: "alice",
    identities: ["/etc/signer/client_ed25519"],
  });
});

test("the example's other way is a configuration too, and its commented settings show their defaults", () => {
  const text = readFileSync(EXAMPLE, "utf8");
  const pull = text
    .replace(/^host = .*$/m, "")
    .replace('# via = "ssh"', 'via = "pull"')
    .replace(/^# (?=\[pull\]|folder|key = |timeout = "10)/gm, "");
  expect(parseClientConfig(pull, "f")).toMatchObject({
    via: "pull",
    pull: { folder: "/var/lib/signer-pull", keyFile: "/etc/signer/notification", timeoutMs: 600_000 },
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

describe("by pull", () => {
  const PULL =
    'via = "pull"\npublic_key = "/etc/signer/repo.asc"\n[pull]\nkey = "/etc/signer/notification"\n';
  const BOTH = PULL.replace('via = "pull"', 'host = "signer"');

  test("neither a host nor anything of SSH is needed, and what is left out has its default", () => {
    expect(parseClientConfig(PULL, "f")).toEqual({
      via: "pull",
      publicKeyFile: "/etc/signer/repo.asc",
      for: undefined,
      waitMs: 0,
      pull: { folder: "/var/lib/signer-pull", keyFile: "/etc/signer/notification", timeoutMs: 600_000 },
    });
    const all = `${PULL}folder = "/srv/pull"\ntimeout = "30 s"\n`.replace(
      "public",
      'for = "a"\nwait = "1 h"\npublic',
    );
    expect(parseClientConfig(all, "f")).toMatchObject({
      for: "a",
      waitMs: 3_600_000,
      pull: { folder: "/srv/pull", timeoutMs: 30_000 },
    });
  });

  test("what is of SSH makes no sense in the file, and all of it is named at once", () => {
    const lines = {
      host: '"h"',
      port: "22",
      user: '"u"',
      identities: '["/k"]',
      agent: '"/a"',
      host_key: `"ssh-ed25519 ${"A".repeat(68)}"`,
      ssh_config: '"/c"',
      ssh_command: '["ssh"]',
      timeout: '"60 s"',
    };
    const text = Object.entries(lines).map(([key, value]) => `${key} = ${value}\n`);
    const said = mistakes(() => parseClientConfig(`${text.join("")}${PULL}`, "f"));
    for (const key of Object.keys(lines)) expect(said).toContain(`${key}: not with via = "pull"`);
    const environment = { host: "h", sshCommand: ["ssh"] as const };
    const other = mistakes(() => parseClientConfig(PULL, "f", environment));
    expect(other).toContain("SIGNER_HOST: not with pull");
    expect(other).toContain("--ssh-command: not with pull");
  });

  test.each([
    ["", "pull.key: expected the file"],
    ["[pull]", "pull.key: expected the file"],
    ['[pull]\nkey = "relative"', "pull.key: expected an absolute path"],
    ['[pull]\nkey = "/k"\nfolder = "pull"', "pull.folder: expected an absolute path"],
    ['[pull]\nkey = "/k"\ntimeout = "0 s"', "pull.timeout: expected a duration"],
    ['[pull]\nkey = "/k"\ntimeout = "25 days"', "pull.timeout: expected at most 24 days"],
    ['[pull]\nkey = "/k"\nkeys = "/k"', "pull.keys: unknown key"],
    ["pull = 1", "pull: expected a table"],
  ])("%j is said", (text, problem) => {
    expect(mistakes(() => parseClientConfig(`via = "pull"\npublic_key = "/k"\n${text}`, "f"))).toContain(
      problem,
    );
  });

  test("is what command line or environment say, before the file, which may then have both", () => {
    expect(parseClientConfig(BOTH, "f")).toMatchObject({ via: "ssh", host: "signer" });
    expect(parseClientConfig(BOTH, "f", { via: "pull" })).toMatchObject({
      via: "pull",
      pull: { keyFile: "/etc/signer/notification" },
    });
    expect(parseClientConfig(PULL, "f", { via: "ssh", host: "h" })).toMatchObject({ via: "ssh", host: "h" });
    expect(mistakes(() => parseClientConfig(PULL, "f", { via: "ssh" }))).toContain("host: expected");
    expect(mistakes(() => parseClientConfig(MINIMAL, "f", { via: "pull" }))).toContain("pull.key: expected");
    expect(mistakes(() => parseClientConfig(BOTH, "f", { via: "post" }))).toContain(
      '--via or SIGNER_VIA: expected ssh or pull, not "post"',
    );
    expect(mistakes(() => parseClientConfig(`via = "post"\n${BOTH}`, "f"))).toContain(
      'via: expected "ssh" or "pull", not "post"',
    );
  });

  test("a mistake in what is not used is one as well", () => {
    const text = `${MINIMAL}[pull]\nkey = "relative"\n`;
    expect(mistakes(() => parseClientConfig(text, "f"))).toContain("pull.key");
  });
});
