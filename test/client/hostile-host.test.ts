import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import ssh2 from "ssh2";
import { afterAll, expect, test } from "vitest";
import { connectToHost } from "../../src/client/signing-host.ts";
import { parseHostKey } from "../../src/config/setting.ts";
import { Cleanup } from "../support/cleanup.ts";
import { runOk } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";
import { bytes, codeOf } from "./fixture.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

/** What a server, which lets everybody in, does with a command: what OpenSSH's never would. */
async function answerOf(
  answer: (channel: ssh2.ServerChannel, client: ssh2.Connection) => void,
): Promise<unknown> {
  const file = join(await tempDir(cleanup), "key");
  await runOk("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file]);
  const server = new ssh2.Server({ hostKeys: [await readFile(file)] }, (client) => {
    client.on("error", () => undefined);
    client.on("authentication", (context) => context.accept());
    client.on("session", (accept) => {
      accept().on("exec", (acceptExec) => answer(acceptExec(), client));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanup.add(() => server.close());
  const connection = await connectToHost({
    via: "ssh",
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    user: "repos",
    identities: [file],
    agent: undefined,
    hostKey: parseHostKey((await readFile(`${file}.pub`, "utf8")).trim()),
    sshConfigFile: "/dev/null",
    sshCommand: undefined,
    publicKeyFile: "/nonexistent",
    for: undefined,
    waitMs: 0,
    timeoutMs: 5000,
  });
  cleanup.add(() => connection.close());
  const running = connection.run("sign", bytes("artefact"), { maxOutputBytes: 100 });
  return await running.catch(async () => await codeOf(running));
}

test("a channel that is closed without an exit status is no answer, whatever it said", async () => {
  expect(
    await answerOf((channel) => {
      channel.write("a signature");
      channel.close();
    }),
  ).toBe("host-unreachable");
});

test("an exit status before the connection is dropped is not taken for a whole answer", async () => {
  expect(
    await answerOf((channel, client) => {
      channel.write("half");
      channel.exit(0);
      setTimeout(() => (client as unknown as { _sock: { destroy(): void } })._sock.destroy(), 50);
    }),
  ).toBe("host-unreachable");
});
