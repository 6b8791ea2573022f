import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import type { Cleanup } from "./cleanup.ts";
import { tempDir } from "./temp-dir.ts";

/** A small real SOCKS5 server, which knows names that this machine does not. */
export interface SocksProxy {
  /** `socks5h://127.0.0.1:PORT` */
  readonly url: string;
  readonly port: number;
  /** What it said so far: a line for each connection, with the name as it was asked for. */
  readonly said: () => string;
  /** Ends it, by its process id. */
  stop(): Promise<void>;
}

export interface SocksProxyOptions {
  /** Lines of its own /etc/hosts. */
  readonly hosts: string;
  /** Asks for this user and this password; for none where left out. */
  readonly login?: { readonly user: string; readonly password: string };
}

/** Starts microsocks(1) in a mount namespace with its own /etc/hosts: as root, or where namespaces are everybody's. */
export async function startSocksProxy(
  cleanup: Cleanup,
  { hosts, login }: SocksProxyOptions,
): Promise<SocksProxy> {
  const file = join(await tempDir(cleanup), "hosts");
  await writeFile(file, hosts);
  const port = await freePort();
  const own = userInfo().uid === 0 ? [] : ["--map-root-user"];
  const wanted = login === undefined ? [] : ["-u", login.user, "-P", login.password];
  const script = 'mount --bind "$1" /etc/hosts && shift && exec microsocks "$@"';
  const proxy = spawn(
    "unshare",
    [...own, "--mount", "sh", "-c", script, "sh", file, "-i", "127.0.0.1", "-p", String(port), ...wanted],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let said = "";
  proxy.stderr.on("data", (data: Buffer) => {
    said += data.toString("latin1");
  });
  const stop = async () => {
    if (proxy.exitCode !== null || proxy.signalCode !== null) return;
    const exit = once(proxy, "exit");
    proxy.kill("SIGTERM");
    await exit;
  };
  cleanup.add(stop);
  for (let waitedMs = 0; waitedMs < 10_000 && proxy.exitCode === null; waitedMs += 20) {
    if (await accepts(port)) return { url: `socks5h://127.0.0.1:${port}`, port, said: () => said, stop };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`microsocks did not start: ${said}`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
