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
});
