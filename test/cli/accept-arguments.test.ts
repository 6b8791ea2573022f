import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAcceptArguments } from "../../src/cli/accept-arguments.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { run } from "../support/run.ts";
import { makeSigningHost, outcome, SIGNER, type SigningHostUnderTest } from "../support/signing-host.ts";

const DEFAULT = "/etc/signer/signer.toml";

describe("the command line of the forced command", () => {
  test.each<[string, readonly string[], object]>([
    ["the client alone", ["accept", "--client", "repos"], { client: "repos", config: DEFAULT }],
    [
      "the configuration after it",
      ["accept", "--client", "repos", "--config", "/c"],
      { client: "repos", config: "/c" },
    ],
    [
      "the configuration before it",
      ["accept", "--config", "/c", "--client", "repos"],
      { client: "repos", config: "/c" },
    ],
    [
      "the configuration first",
      ["--config", "/c", "accept", "--client", "repos"],
      { client: "repos", config: "/c" },
    ],
  ])("is read with %s", (_, argv, expected) => {
    expect(parseAcceptArguments(argv)).toEqual(expected);
  });

  test.each([
    [[]],
    [["accept"]],
    [["accept", "--client"]],
    [["accept", "--client", ""]],
    [["accept", "--client", "--config"]],
    [["accept", "--client", "-x"]],
    [["accept", "--client=repos"]],
    [["accept", "--client", "a", "--client", "b"]],
    [["accept", "--client", "a", "b"]],
    [["accept", "--help", "--client", "a"]],
    [["--client", "a", "accept", "--config"]],
    [["check", "--client", "a"]],
    [["accept", "--client", "a", "--config"]],
    [["accept", "--client", "a", "--config", ""]],
    [["accept", "--client", "a", "--config", "/c", "--config", "/d"]],
  ])("is left to the whole command line where it is %j", (argv) => {
    expect(parseAcceptArguments(argv)).toBeUndefined();
  });

  test("never takes a word for a client that is no value of --client", () => {
    const words = fc.array(fc.constantFrom("accept", "--client", "--config", "a", "/c", "-x", ""), {
      maxLength: 7,
    });
    fc.assert(
      fc.property(words, (argv) => {
        const parsed = parseAcceptArguments(argv);
        if (parsed === undefined) return;
        expect(argv[argv.indexOf("--client") + 1]).toBe(parsed.client);
        expect(argv).toContain("accept");
        expect(argv.filter((word) => word === "--client")).toHaveLength(1);
      }),
    );
  });
});

describe("as a process", () => {
  const cleanup = new Cleanup();
  let host: SigningHostUnderTest;
  beforeAll(async () => {
    host = await makeSigningHost(cleanup);
  });
  afterAll(() => cleanup.run());

  const stdin = buildDatabase({ packages: 1, kind: "db" });
  const env = { SSH_CONNECTION: "127.0.0.1 1 127.0.0.1 22" };

  test.each([
    [["accept", "--client=repos"], "signed"],
    [["accept", "--client", "a", "--client", "repos"], "signed"],
    [["accept", "--client", "stranger"], "unknown-client 77"],
    [["accept", "--client="], "bad-configuration 78"],
    [["accept", "--client", ""], "bad-configuration 78"],
    [["accept", "--client", "x".repeat(300)], "bad-configuration 78"],
    [["accept", "--client", "re pos"], "bad-configuration 78"],
    [["accept"], "bad-request 64"],
    [["accept", "--client", "repos", "extra"], "bad-request 64"],
    [["accept", "--client", "repos", "--force"], "bad-request 64"],
    [["sign"], "bad-request 64"],
  ])("%j ends with %s", async (args, expected) => {
    const ended = await run(SIGNER, ["--config", host.configFile, ...args], { env, stdin });
    expect(outcome(ended)).toBe(expected);
  });

  test("a missing configuration is one line and 78", async () => {
    const ended = await run(SIGNER, ["accept", "--client", "repos", "--config", "/nonexistent"], {
      env,
      stdin,
    });
    expect(outcome(ended)).toBe("bad-configuration 78");
  });

  test("help and version are asked for and 0, no command at all is a mistake", async () => {
    const help = await run(SIGNER, ["--help"]);
    expect(help).toMatchObject({ status: 0, stderr: "" });
    expect(help.stdout.toString()).toMatch(/accept.*init.*check.*key.*clock/s);
    expect((await run(SIGNER, ["--version"])).stdout.toString()).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await run(SIGNER, [])).status).toBe(64);
  });

  test("no line of help is wider than a terminal, and each names --config", async () => {
    for (const command of [
      [],
      ["accept"],
      ["init"],
      ["check"],
      ["key"],
      ["key", "export"],
      ["clock", "accept"],
    ]) {
      const lines = (await run(SIGNER, [...command, "--help"])).stdout.toString().split("\n");
      expect(lines.filter((line) => line.length > 80)).toEqual([]);
      expect(lines.join("\n")).toContain("--config <file>");
    }
  });

  test("a mistake is said in one line, lower case, nothing of it raw", async () => {
    const said = async (...args: string[]) => (await run(SIGNER, args)).stderr;
    expect(await said("\u001b[31mx")).toBe("signer: bad-request: unknown command '\\x1b[31mx'\n");
    expect(await said("check", "x")).toBe(
      "signer: bad-request: too many arguments for 'check': expected 0 arguments but got 1: x\n",
    );
  });

  test("a reader that goes away is no error, a full disk is", async () => {
    const command = `${SIGNER} --config ${host.configFile} key export`;
    const head = await run("bash", ["-c", `${command} | head -n 1; echo \${PIPESTATUS[0]}`]);
    expect(head.stderr).toBe("");
    expect(head.stdout.toString()).toMatch(/^-----BEGIN.*\n0\n$/);
    const gone = await run("bash", ["-c", `${command} | true; echo \${PIPESTATUS[0]}`]);
    expect([gone.stderr, gone.stdout.toString()]).toEqual(["", "0\n"]);
    const full = await run("bash", ["-c", `${command} > /dev/full`]);
    expect([full.status, full.stderr]).toEqual([
      74,
      "signer: reply-not-delivered: stdout cannot be written\n",
    ]);
  });
});
