import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BootedSystemd, bootSystemd, canBootSystemd } from "../support/booted-systemd.ts";
import { Cleanup } from "../support/cleanup.ts";
import { upgradeRequest } from "../support/upgrade-request.ts";

// The shipped units of a log host behind nginx, in a systemd of their own: all of the sandbox is real.

const PREPARE = `
useradd --system --home-dir /var/lib/signer-log signer-log
install -d -m 0700 -o signer-log -g signer-log /var/lib/signer-log
/usr/lib/signer/bin/signer init --origin signer.example.org/repo
setpriv --reuid signer-log --regid signer-log --clear-groups /usr/lib/signer/bin/signer-log --log repo \\
  init --verifier "$(/usr/lib/signer/bin/signer-log key)" --witness log.example.org/repo
`;

/** Sends all of stdin to the socket, and prints two lines of the protocol that come back, or why nothing can be sent. */
const ASK = `
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
try:
    s.connect("/run/signer-log/http.socket")
except OSError as error:
    sys.exit(error.strerror)
s.sendall(sys.stdin.buffer.read())
came = b""
while came.count(b"\\n") < 6:
    piece = s.recv(65536)
    if not piece: break
    came += piece
print(came.decode())
`;

describe.runIf(canBootSystemd)("a receiver under systemd, in the whole sandbox,", () => {
  const cleanup = new Cleanup();
  let machine: BootedSystemd;
  beforeAll(async () => {
    machine = await bootSystemd(cleanup, PREPARE);
    await machine.runOk("systemctl", ["start", "signer-log-receive.socket", "signer-log-receive.service"]);
  });
  afterAll(() => cleanup.run());

  const asks = (account: string) =>
    machine.run(
      "setpriv",
      ["--reuid", account, "--regid", account, "--clear-groups", "/usr/bin/python3", "-c", ASK],
      {
        stdin: `${upgradeRequest()}{"kind":"root-of","size":0}\n`,
      },
    );
  const property = async (name: string) =>
    (await machine.runOk("systemctl", ["show", "-p", name, "--value", "signer-log-receive.service"]))
      .toString()
      .trim();

  test("serves nginx's account at the socket that systemd has opened, and no other", async () => {
    const answer = await asks("www-data");
    expect(answer.stderr).toBe("");
    expect(answer.stdout.toString()).toMatch(/^HTTP\/1\.1 101 .*"kind":"hello".*"kind":"root"/s);
    expect((await asks("mail")).stderr).toBe("Permission denied\n");
    expect(machine.said()).toContain("signer-log: receive: ready for /var/lib/signer-log/repo\n");
  });

  test("ends cleanly, and is there again for the next connection", async () => {
    const before = await property("MainPID");
    await machine.runOk("systemctl", ["stop", "signer-log-receive.service"]);
    expect([await property("Result"), await property("ExecMainStatus")]).toEqual(["success", "0"]);
    expect((await asks("www-data")).stdout.toString()).toContain('"kind":"hello"');
    expect(await property("MainPID")).not.toBe(before);
  });
});
