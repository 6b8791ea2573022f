import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { run, runOk } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
let root: string;

/** What a program under test says about how it was started; bytes as latin1, so that any value shows. */
interface Started {
  readonly environment: readonly string[];
  readonly args: readonly string[];
  readonly limits: string;
  readonly nodeFlags: readonly string[];
}
const PROGRAM = `
const { readFileSync } = process.getBuiltinModule("node:fs");
const environment = readFileSync("/proc/self/environ", "latin1").split("\\0").slice(0, -1);
const limits = readFileSync("/proc/self/limits", "latin1");
const args = process.argv.slice(2);
process.stdout.write(JSON.stringify({ environment, args, limits, nodeFlags: process.execArgv }));
process.exitCode = 75;
`;

/** An installation with the real launchers, the pinned runtime and programs that say how they were started. */
async function install(folder: string): Promise<void> {
  await mkdir(join(folder, "dist"), { recursive: true });
  await mkdir(join(folder, "node_modules", ".bin"), { recursive: true });
  await cp("bin", join(folder, "bin"), { recursive: true });
  await symlink(process.execPath, join(folder, "node_modules", ".bin", "node"));
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  for (const name of ["signer", "signer-log"]) await writeFile(join(folder, "dist", `${name}.cjs`), PROGRAM);
}

beforeEach(async () => {
  root = await tempDir(cleanup);
  await install(root);
});
afterEach(() => cleanup.run());

async function start(
  env: NodeJS.ProcessEnv,
  args: readonly string[] = [],
  file = "bin/signer",
): Promise<Started> {
  const { stdout, stderr, status } = await run(join(root, file), args, { env });
  expect(stderr).toBe("");
  expect(status).toBe(75);
  return JSON.parse(stdout.toString());
}

const PASSED = ["SSH_ORIGINAL_COMMAND", "SSH_CONNECTION", "SSH_USER_AUTH", "CREDENTIALS_DIRECTORY"];
const TERMINAL = ["HOME", "TERM", "COLUMNS", "NO_COLOR"];
const FOREIGN = [
  "NODE_OPTIONS",
  "NODE_PATH",
  "NODE_DEBUG",
  "NODE_EXTRA_CA_CERTS",
  "ENV",
  "BASH_ENV",
  "IFS",
  "CDPATH",
];
const LOCALE = [
  "LANG",
  "LC_ALL",
  "LC_SIGNER",
  "TZ",
  "SSH_AUTH_SOCK",
  "OPENSSL_CONF",
  "node",
  "script",
  "version",
];

describe("the environment", () => {
  test("signer gets the variables of its list and a fixed PATH, and no others", async () => {
    const env = Object.fromEntries(
      [...PASSED, ...TERMINAL, ...FOREIGN, ...LOCALE].map((name) => [name, `--${name}`]),
    );
    const { environment } = await start({ ...env, PATH: "/tmp/elsewhere" });
    const expected = [...PASSED, ...TERMINAL].map((name) => `${name}=--${name}`);
    expect(environment.toSorted()).toEqual([...expected, "PATH=/usr/local/bin:/usr/bin:/bin"].toSorted());
  });

  test("signer-log gets what a terminal needs, and of SSH the command alone", async () => {
    const env = Object.fromEntries([...PASSED, ...TERMINAL, ...FOREIGN].map((name) => [name, "x"]));
    const { environment } = await start(env, [], "bin/signer-log");
    const expected = [...TERMINAL, "SSH_ORIGINAL_COMMAND"].map((name) => `${name}=x`);
    expect(environment.toSorted()).toEqual([...expected, "PATH=/usr/local/bin:/usr/bin:/bin"].toSorted());
  });

  test("no command is no command, and an empty one is an empty one", async () => {
    expect((await start({})).environment).toEqual(["PATH=/usr/local/bin:/usr/bin:/bin"]);
    expect((await start({ SSH_ORIGINAL_COMMAND: "" })).environment).toContain("SSH_ORIGINAL_COMMAND=");
  });

  test.each([
    "sign core.db.tar.gz\n",
    "\n\nsign\n\n",
    "$(touch pwned) `touch pwned` $HOME $0 \\n \\ ' \" ; | & > pwned * ? ~ # !",
    "NODE_OPTIONS=--inspect",
    "=",
    "-i",
    "--version",
    "sign --for Jürgen 名前",
    "\x1b[31m\t\r\x7f",
  ])("the command %j arrives as it is", async (command) => {
    const { environment } = await start({ SSH_ORIGINAL_COMMAND: command });
    expect(environment).toContain(`SSH_ORIGINAL_COMMAND=${Buffer.from(command).toString("latin1")}`);
  });

  test("bytes that are no UTF-8 arrive as they are", async () => {
    const script = 'SSH_ORIGINAL_COMMAND=$(printf "a\\377\\001\\200 b") exec "$0"';
    const { stdout } = await run("/bin/sh", ["-c", script, join(root, "bin/signer")], {
      env: { PATH: "/usr/bin:/bin" },
    });
    const { environment } = JSON.parse(stdout.toString()) as Started;
    expect(environment).toContain("SSH_ORIGINAL_COMMAND=a\xff\x01\x80 b");
  });

  test("a command as long as the kernel lets one arrive is not lost on the way", async () => {
    const maxStringBytes = 32 * 4096; // execve(2): MAX_ARG_STRLEN, with the name and the NUL
    const longest = maxStringBytes - "SSH_ORIGINAL_COMMAND=".length - 1;
    for (const length of [100 * 1024, longest]) {
      const command = "x".repeat(length);
      expect((await start({ SSH_ORIGINAL_COMMAND: command })).environment).toContain(
        `SSH_ORIGINAL_COMMAND=${command}`,
      );
    }
    const tooLong = run(join(root, "bin/signer"), [], {
      env: { SSH_ORIGINAL_COMMAND: "x".repeat(longest + 1) },
    });
    await expect(tooLong).rejects.toThrow("E2BIG");
  });

  test("a crash leaves no core file with the key in it", async () => {
    expect((await start({})).limits).toMatch(/^Max core file size +0 +0 /m);
  });
});

describe("a service:", () => {
  const SERVICE = {
    LISTEN_PID: "1",
    LISTEN_FDS: "1",
    LISTEN_FDNAMES: "repos",
    CREDENTIALS_DIRECTORY: "/credentials here",
  };
  /** Says which flags it wants, when asked. */
  const ASKED = `
if (process.env.FENCE === "ask") {
  require("fs").writeFileSync(__dirname + "/asked", JSON.stringify([process.env, process.argv.slice(2)]));
  process.stdout.write("--permission\\n--allow-fs-read=/*\\n--allow-fs-read=/a  b$(x)\\n");
  process.exit();
}`;
  const install = (program: string) => writeFile(join(root, "dist", "signer.cjs"), program);

  test.each([[["status"]], [["accept", "--client", "sender"]]])(
    "%j is none: no pipe is made, and nothing waits at it for ever",
    async (args) => {
      const { environment } = await start(
        { ...SERVICE, NOTIFY_SOCKET: "/nobody", RUNTIME_DIRECTORY: root },
        args,
      );
      expect(environment.filter((variable) => variable.startsWith("NOTIFY"))).toEqual([]);
      expect((await readdir(root)).filter((name) => name.startsWith("notify"))).toEqual([]);
    },
  );

  test("with sockets that systemd has opened is asked for its fence first, and starts behind it", async () => {
    await install(`${ASKED}${PROGRAM}`);
    const { nodeFlags, args, environment } = await start(SERVICE, ["--config", "a b", "serve"]);
    const fence = ["--permission", "--allow-fs-read=/*", "--allow-fs-read=/a  b$(x)"];
    expect(nodeFlags).toEqual(["--disable-warning=ExperimentalWarning", ...fence]);
    expect(args).toEqual(["--config", "a b", "serve"]);
    const given = Object.entries(SERVICE).map(([name, value]) => `${name}=${value}`);
    expect(environment.toSorted()).toEqual([...given, "PATH=/usr/local/bin:/usr/bin:/bin"].toSorted());
    expect(JSON.parse(await readFile(join(root, "dist", "asked"), "utf8"))).toEqual([
      {
        PATH: "/usr/local/bin:/usr/bin:/bin",
        FENCE: "ask",
        CREDENTIALS_DIRECTORY: SERVICE.CREDENTIALS_DIRECTORY,
      },
      ["--config", "a b", "serve"],
    ]);
  });

  test("is not asked where it has no such sockets, and no other command is", async () => {
    await install(`${ASKED}${PROGRAM}`);
    const flags = ["--disable-warning=ExperimentalWarning"];
    expect((await start({}, ["serve"])).nodeFlags).toEqual(flags);
    expect((await start(SERVICE, ["accept", "--client", "repos"])).nodeFlags).toEqual(flags);
  });

  test("that cannot say what its fence is does not start, and the status says why", async () => {
    await install(`process.stderr.write("signer: bad-configuration: x\\n"); process.exitCode = 78;`);
    const ended = await run(join(root, "bin/signer"), ["serve"], { env: SERVICE });
    expect(ended).toMatchObject({ status: 78, stderr: "signer: bad-configuration: x\n" });
  });

  test("runs without Node's compilers where the environment says so", async () => {
    const { nodeFlags, environment } = await start({ SIGNER_JITLESS: "1" }, ["serve"]);
    expect(nodeFlags).toEqual(["--jitless", "--disable-warning=ExperimentalWarning"]);
    expect(environment).toEqual(["PATH=/usr/local/bin:/usr/bin:/bin"]);
    expect((await start({ SIGNER_JITLESS: "" }, ["serve"])).nodeFlags).not.toContain("--jitless");
  });
});

describe("what is run", () => {
  test("arguments, standard input and output pass unchanged, bytes and all", async () => {
    const args = ["accept", "--client", "a b", "", "-n", "$(x)", "*", "line\nbreak"];
    expect((await start({}, args)).args).toEqual(args);
    await writeFile(join(root, "dist", "signer.cjs"), "process.stdin.pipe(process.stdout);");
    const bytes = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 256));
    expect(await runOk(join(root, "bin/signer"), [], { env: {}, stdin: bytes })).toEqual(bytes);
  });

  test("it is found through symbolic links, absolute and relative, one behind the other", async () => {
    const links = join(root, "links");
    await mkdir(links);
    await symlink(join(root, "bin", "signer"), join(links, "absolute"));
    await symlink("../bin/signer", join(links, "relative"));
    await symlink("relative", join(links, "chain"));
    await symlink("bin", join(root, "folder"));
    for (const file of ["links/absolute", "links/relative", "links/chain", "folder/signer"])
      await start({}, [], file);
  });

  test("it is found in any working directory and without a folder in its name", async () => {
    const env = { PATH: "/usr/bin:/bin" };
    expect(await run("/bin/sh", ["signer"], { env, cwd: join(root, "bin") })).toMatchObject({
      status: 75,
      stderr: "",
    });
    expect(await run("/bin/sh", ["bin/signer"], { env, cwd: root })).toMatchObject({
      status: 75,
      stderr: "",
    });
    const path = `${join(root, "bin")}:/usr/bin:/bin`;
    expect(await run("/bin/sh", ["-c", "signer"], { env: { PATH: path } })).toMatchObject({
      status: 75,
      stderr: "",
    });
  });

  test("it is found in a folder of any name, but for one that env(1) would take for a variable", async () => {
    for (const name of ["with space", "line\nbreak", "-n", "$(x)"]) {
      await install(join(root, name));
      await start({}, [], join(name, "bin/signer"));
    }
    await install(join(root, "a=b"));
    const { status, stdout, stderr } = await run(join(root, "a=b/bin/signer"), [], { env: {} });
    expect({ status, stdout: stdout.length }).toEqual({ status: 78, stdout: 0 });
    expect(stderr).toMatch(/^signer: bad-configuration: /);
  });

  test("without dist/ the sources are run", async () => {
    await rm(join(root, "dist"), { recursive: true });
    await mkdir(join(root, "src", "cli"), { recursive: true });
    await writeFile(join(root, "src", "cli", "signer.ts"), `const typed: number = 1;\n${PROGRAM}`);
    expect((await start({}, ["accept"])).args).toEqual(["accept"]);
  });

  test("without the pinned runtime it is Node 24 or newer, or a clear no", async () => {
    await rm(join(root, "node_modules"), { recursive: true });
    const env = { PATH: "/usr/local/bin:/usr/bin:/bin" };
    const found = await run("/bin/sh", ["-c", "node --version"], { env });
    const version = /^v(\d+)/.exec(found.stdout.toString())?.[1];
    const ended = await run(join(root, "bin/signer-log"), [], { env });
    if (Number(version) >= 24) expect(ended).toMatchObject({ status: 75, stderr: "" });
    else {
      expect(ended.status).toBe(78);
      expect(ended.stderr).toMatch(
        /^signer-log: bad-configuration: signer-log needs Node 24 or newer, found (v\d+|none).*\n$/,
      );
    }
  });

  test.each([
    ["v22.22.0", 78],
    ["v23.99.0", 78],
    ["v24.0.0", 75],
    ["v26.10.0", 75],
    ["v30.0.0", 75],
    ["v100.0.0", 75],
    ["v4.2.0", 78],
    ["v2.4.0", 78],
    ["v240", 78],
    ["", 78],
  ])("Node %s without the pinned runtime ends with %i", async (version, status) => {
    const launch = await readFile(join(root, "bin", "launch.sh"), "utf8");
    await rm(join(root, "node_modules"), { recursive: true });
    const node = join(root, "node");
    await writeFile(node, `#!/bin/sh\n[ "$1" != --version ] || exec echo "${version}"\nexit 75\n`, {
      mode: 0o755,
    });
    await writeFile(join(root, "bin", "launch.sh"), `PATH=${dirname(node)}:$PATH\n${launch}`);
    expect((await run(join(root, "bin/signer"), [], { env: {} })).status).toBe(status);
  });
});
