import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { delimiter, join } from "node:path";
import type { CertificateFiles } from "./certificates.ts";
import type { Cleanup } from "./cleanup.ts";
import { runOk } from "./run.ts";
import { tempDir } from "./temp-dir.ts";

export interface RsyslogOptions extends CertificateFiles {
  readonly caFile: string;
  /** The library of its TLS: OpenSSL's where left out. */
  readonly driver?: "ossl" | "gtls";
  /** Whether a sender has to show a certificate of the CA; false where left out. */
  readonly asksForCertificate?: boolean;
}

/** A private rsyslogd that takes syslog over TLS on a loopback port. */
export interface Collector {
  readonly port: number;
  /** What has arrived: one line for each message, its text as it was sent. Waits, up to 10 s, until it is so many. */
  texts(atLeast?: number): Promise<readonly string[]>;
  /** The same with the header: priority, time, application, message id, structured data; without host and process id. */
  headers(): Promise<readonly string[]>;
  /** Ends it, by its process id; what it holds is written before. */
  stop(): Promise<void>;
}

/** Starts the real rsyslogd as the current user; `cleanup` ends it. */
export async function startRsyslog(cleanup: Cleanup, options: RsyslogOptions): Promise<Collector> {
  const folder = await tempDir(cleanup);
  const file = (name: string) => join(folder, name);
  const { driver = "ossl", asksForCertificate = false } = options;
  const config = `
global(
  workDirectory="${folder}" maxMessageSize="64k" defaultNetstreamDriver="${driver}"
  defaultNetstreamDriverCAFile="${options.caFile}"
  defaultNetstreamDriverCertFile="${options.certificateFile}"
  defaultNetstreamDriverKeyFile="${options.keyFile}"
)
module(
  load="imtcp" streamDriver.name="${driver}" streamDriver.mode="1"
  streamDriver.authMode="${asksForCertificate ? "x509/certvalid" : "anon"}"
)
template(name="text" type="string" string="%msg%\\n")
template(
  name="header" type="string"
  string="%pri% %timestamp:::date-rfc3339% %app-name% %msgid% %structured-data%\\n"
)
ruleset(name="arrived") {
  action(type="omfile" file="${file("texts")}" template="text" fileCreateMode="0600")
  action(type="omfile" file="${file("headers")}" template="header" fileCreateMode="0600")
}
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="${file("port")}" ruleset="arrived")
syslog.* action(type="omfile" file="${file("own")}")
`;
  await writeFile(file("rsyslog.conf"), config);
  const path = [process.env["PATH"], "/usr/sbin"].join(delimiter);
  const program = (await runOk("/bin/sh", ["-c", "command -v rsyslogd"], { env: { PATH: path } })).toString();
  const args = ["-n", "-f", file("rsyslog.conf"), "-i", file("pid")];
  const server = spawn(program.trim(), args, { stdio: "ignore" });
  cleanup.add(() => stop(server));
  const lines = async (name: string) =>
    (await readFile(file(name), "utf8").catch(() => "")).split("\n").slice(0, -1);
  return {
    port: await listeningPort(server, file("port"), () => lines("own")),
    texts: async (atLeast = 0) => {
      let texts = await lines("texts");
      for (let waitedMs = 0; waitedMs < 10_000 && texts.length < atLeast; waitedMs += 20) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        texts = await lines("texts");
      }
      return texts;
    },
    headers: () => lines("headers"),
    stop: () => stop(server),
  };
}

async function listeningPort(
  server: ChildProcess,
  file: string,
  said: () => Promise<readonly string[]>,
): Promise<number> {
  for (let waitedMs = 0; waitedMs < 10_000 && server.exitCode === null; waitedMs += 20) {
    const port = Number(await readFile(file, "utf8").catch(() => ""));
    if (port > 0 && (await isListening(port))) return port; // it writes the file a moment before it listens
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`rsyslogd did not start: ${(await said()).join("\n")}`);
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return;
  const exit = once(server, "exit");
  server.kill("SIGTERM");
  await exit;
}
