import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectToHost } from "../../src/client/signing-host.ts";
import { Cleanup } from "../support/cleanup.ts";
import { type SshServer, startSshd } from "../support/sshd.ts";
import { bytes, clientOf, codeOf, hostKeyOf } from "./fixture.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

/** Runs the command that is asked for, which a signing host never does. */
let server: SshServer;
beforeAll(async () => {
  server = await startSshd(cleanup, { authorizedKeys: (key) => `restrict ${key}\n` });
});

const transports = [
  { name: "ssh2", client: () => clientOf(server) },
  {
    name: "an ssh process",
    client: () => clientOf(server, { sshCommand: ["ssh", "-F", server.clientConfig] }),
  },
];

describe.each(transports)("over $name", ({ client }) => {
  const run = async (
    command: string,
    input: AsyncIterable<Uint8Array> = bytes(),
    {
      maxOutputBytes = 1_000_000,
      signal,
      ...changed
    }: { maxOutputBytes?: number; signal?: AbortSignal; timeoutMs?: number } = {},
  ) => {
    const connection = await connectToHost({ ...client(), ...changed });
    try {
      return await connection.run(command, input, { maxOutputBytes, signal });
    } finally {
      await connection.close();
    }
  };

  test("what the host says comes back whole, with its exit status", async () => {
    const result = await run("cat; echo why >&2; exit 75", bytes("one ", "two"));
    expect({ ...result, output: Buffer.from(result.output).toString() }).toEqual({
      output: "one two",
      stderr: "why\n",
      exitStatus: 75,
    });
  });

  test("several commands run at once on one connection", async () => {
    const connection = await connectToHost(client());
    const results = await Promise.all(
      ["a", "b", "c"].map((word) => connection.run("cat", bytes(word), { maxOutputBytes: 10 })),
    );
    await connection.close();
    expect(results.map(({ output }) => Buffer.from(output).toString())).toEqual(["a", "b", "c"]);
  });

  test("input is read no faster than the host takes it", async () => {
    let taken = 0;
    async function* endless() {
      for (;;) {
        taken += 65_536;
        yield new Uint8Array(65_536);
      }
    }
    expect(await codeOf(run("sleep 30", endless(), { timeoutMs: 2000 }))).toBe("host-unreachable");
    expect(taken).toBeLessThan(16 * 1024 * 1024);
  });

  test("a host that refuses before it has read everything is heard at once, also where the input is stuck", async () => {
    async function* stuck() {
      yield new Uint8Array(10);
      await new Promise(() => undefined);
    }
    expect(await run("echo no >&2; exit 77", stuck())).toMatchObject({ stderr: "no\n", exitStatus: 77 });
  });

  test("input of several megabytes arrives whole", async () => {
    async function* large() {
      for (let i = 0; i < 128; i += 1) yield new Uint8Array(65_536);
    }
    const { output } = await run("wc -c", large());
    expect(Number(Buffer.from(output).toString())).toBe(128 * 65_536);
  });

  test("an input that fails is why the command does", async () => {
    async function* failing() {
      yield new Uint8Array(10);
      throw Object.assign(new Error("disk"), { code: "EIO" });
    }
    expect(await codeOf(run("cat", failing()))).toBe("EIO");
  });

  test("a host that says more than asked for is no signing host", async () => {
    expect(await codeOf(run("cat /dev/zero", bytes(), { maxOutputBytes: 1000 }))).toBe("host-unreachable");
    const exact = await run("printf 12345", bytes(), { maxOutputBytes: 5 });
    expect(exact.output.length).toBe(5);
  });

  test("no more than 64 KiB of stderr is kept", async () => {
    const { stderr, exitStatus } = await run("head -c 300000 /dev/zero >&2; exit 3");
    expect([stderr.length, exitStatus]).toEqual([65_536, 3]);
  });

  test("a command that ends without an exit status has not answered", async () => {
    expect(await codeOf(run("printf x; kill -KILL $$"))).toBe("host-unreachable");
  });

  test("silence is the end of it", async () => {
    expect(await codeOf(run("sleep 30", bytes(), { timeoutMs: 1500 }))).toBe("host-unreachable");
  });

  test("a connection lost in the middle is no answer", async () => {
    const relay = await startRelay(server.port);
    const changed = { ...client(), ...relayed(client(), relay.port) };
    const connection = await connectToHost(changed);
    const running = connection.run("echo begun; sleep 30", bytes(), { maxOutputBytes: 100 });
    await relay.carried();
    relay.drop();
    expect(await codeOf(running)).toBe("host-unreachable");
    await connection.close();
  });

  test("given up, it ends with the reason given", async () => {
    const aborted = new AbortController();
    const reason = Object.assign(new Error("enough"), { code: "given-up" });
    setTimeout(() => aborted.abort(reason), 300);
    expect(await codeOf(run("sleep 30", bytes(), { signal: aborted.signal }))).toBe("given-up");
    expect(await codeOf(run("true", bytes(), { signal: aborted.signal }))).toBe("given-up");
  });
});

test("nobody listening is a host that cannot be reached", async () => {
  const port = await closedPort();
  expect(await codeOf(connectToHost(clientOf(server, { port, hostKey: hostKeyOf(server) })))).toBe(
    "host-unreachable",
  );
});

test("a host that says nothing is given up after the timeout", async () => {
  const silent = createServer().listen(0, "127.0.0.1");
  cleanup.add(() => silent.close());
  await new Promise((resolve) => silent.once("listening", resolve));
  const { port } = silent.address() as AddressInfo;
  const config = clientOf(server, { port, hostKey: hostKeyOf(server), timeoutMs: 1000 });
  expect(await codeOf(connectToHost(config))).toBe("host-unreachable");
});

test("an ssh command that is not there is a mistake of the configuration", async () => {
  const connection = await connectToHost(clientOf(server, { sshCommand: ["/nonexistent/ssh"] }));
  expect(await codeOf(connection.run("key", bytes(), { maxOutputBytes: 1 }))).toBe("bad-configuration");
});

test("an ssh command's own failure is no answer of the host, and its words say why", async () => {
  const connection = await connectToHost(
    clientOf(server, { sshCommand: ["/bin/sh", "-c", "echo Connection refused >&2; exit 255"] }),
  );
  await expect(connection.run("key", bytes(), { maxOutputBytes: 1 })).rejects.toMatchObject({
    code: "host-unreachable",
    message: expect.stringContaining("Connection refused"),
  });
});

test("a command that begins with - is not an option of ssh", async () => {
  const connection = await connectToHost(clientOf(server, { sshCommand: ["/bin/echo"] }));
  const { output } = await connection.run("-oProxyCommand=x; y", bytes(), { maxOutputBytes: 100 });
  expect(Buffer.from(output).toString()).toBe("-- signer -oProxyCommand=x; y\n");
});

function relayed(config: ReturnType<typeof clientOf>, port: number) {
  if (config.sshCommand === undefined) return { port, hostKey: hostKeyOf(server) };
  const [program, ...args] = config.sshCommand;
  const own = [
    "-p",
    String(port),
    "-o",
    "HostKeyAlias=x",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
  ];
  return { sshCommand: [program, ...own, ...args] as const };
}

/** Carries bytes to a port until it drops everything. */
async function startRelay(to: number) {
  const sockets: Socket[] = [];
  let bytesCarried = 0;
  let told = (): void => undefined;
  const relay = createServer((inner) => {
    const outer = connect(to, "127.0.0.1");
    sockets.push(inner, outer);
    for (const socket of [inner, outer]) socket.on("error", () => undefined);
    inner.pipe(outer);
    outer.pipe(inner);
    outer.on("data", (chunk: Buffer) => {
      bytesCarried += chunk.length;
      told();
    });
  }).listen(0, "127.0.0.1");
  const drop = () => {
    for (const socket of sockets) socket.destroy();
  };
  cleanup.add(() => {
    drop();
    relay.close();
  });
  await new Promise((resolve) => relay.once("listening", resolve));
  return {
    port: (relay.address() as AddressInfo).port,
    drop,
    carried: () =>
      new Promise<void>((resolve) => {
        told = () => {
          if (bytesCarried > 1500) resolve();
        };
        told();
      }),
  };
}

async function closedPort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
