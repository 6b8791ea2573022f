import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { userInfo } from "node:os";
import { delimiter, join } from "node:path";
import type { CertificateAuthority, CertificateFiles } from "./certificates.ts";
import type { Cleanup } from "./cleanup.ts";
import { runOk } from "./run.ts";
import { tempDir } from "./temp-dir.ts";

const SHIPPED = join(import.meta.dirname, "../../contrib/nginx");

export interface NginxOptions {
  /** Whose certificates it accepts, with its list of revoked ones. */
  readonly authority: Pick<CertificateAuthority, "caFile" | "crlFile"> &
    Partial<Pick<CertificateAuthority, "issue">>;
  /** The server's own; one of the authority's, for localhost and 127.0.0.1, where left out. */
  readonly certificate?: CertificateFiles;
  /** With `outbox` and `inbox` in it, which nginx's workers can read and write; a new one where left out. */
  readonly folder?: string;
  /** Names (RFC 2253) of the certificates that may fetch and answer; `CN=enclave` where left out. */
  readonly enclaves?: readonly string[];
  /** The Unix socket of `signer-log receive --http`; where given, log.conf is included. */
  readonly logSocket?: string;
  /** Names of the certificates that may send a log; `CN=enclave` where left out. */
  readonly logSenders?: readonly string[];
  /** Where it listens; 127.0.0.1 where left out. */
  readonly address?: string;
  /** Of the workers, where the test is root; `www-data` where left out. */
  readonly user?: string;
  /** Number of its workers; 1 where left out. */
  readonly workers?: number;
  /** The last word about the configuration: the site's file, all names and paths replaced. */
  readonly edit?: (site: string) => string;
  /** Further files, by their path beside the site's, and what they hold. */
  readonly files?: Readonly<Record<string, string>>;
}

/** A request as the access log has it, the ones for nothing new included. */
export interface LoggedRequest {
  readonly method: string;
  readonly uri: string;
  readonly status: number;
  /** In bytes, TLS not counted. */
  readonly received: number;
  readonly sent: number;
  /** Number of its connection. */
  readonly connection: number;
  readonly range: string;
}

/** A real nginx with the shipped configuration, names, paths and port replaced. */
export interface Nginx {
  readonly port: number;
  /** `https://ADDRESS:PORT/signer` */
  readonly url: string;
  /** With `outbox` and `inbox` in it. */
  readonly folder: string;
  readonly outbox: string;
  readonly inbox: string;
  /** What was asked so far. */
  requests(): Promise<readonly LoggedRequest[]>;
  /** What it said so far, at the level info. */
  errors(): Promise<string>;
  /** Reads configuration, certificates and the list of revoked ones anew; returns when it has. */
  reload(): Promise<void>;
  /** Ends it, by its process id. */
  stop(): Promise<void>;
  /** Starts it again on the same port. */
  start(): Promise<void>;
}

/** Starts it, as a child in the foreground; `cleanup` ends it. */
export async function startNginx(cleanup: Cleanup, options: NginxOptions): Promise<Nginx> {
  const { authority, address = "127.0.0.1", user = "www-data", workers = 1 } = options;
  const isRoot = userInfo().uid === 0;
  const configuration = await tempDir(cleanup);
  const file = (name: string) => join(configuration, name);
  await chmod(configuration, 0o711); // nginx's workers are another account
  await cp(join(SHIPPED, "signer"), file("signer"), { recursive: true });
  await mkdir(file("temp"));
  for (const [name, content] of Object.entries(options.files ?? {})) await writeFile(file(name), content);
  const folder = options.folder ?? (await makeFolder(cleanup, isRoot ? user : undefined));
  const certificate = options.certificate ?? (await authority.issue?.({ usage: "server" }));
  if (certificate === undefined) throw new Error("expected the server's certificate, or who issues one");
  const path = [process.env["PATH"], "/usr/sbin"].join(delimiter);
  const program = (await runOk("/bin/sh", ["-c", "command -v nginx"], { env: { PATH: path } }))
    .toString()
    .trim();

  let server: ChildProcess | undefined;
  cleanup.add(() => stop(server));
  const start = async (port: number): Promise<boolean> => {
    const site = adapt(await readFile(join(SHIPPED, "signer.conf"), "utf8"), [
      [/^( *)listen 8443 (.*)$/m, `$1listen ${address}:${port} $2`],
      [/^ *listen \[::\]:8443 .*\n/m, ""],
      [/server_name .*;/, "server_name localhost;"],
      ["/etc/signer/nginx/server.pem", certificate.certificateFile],
      ["/etc/signer/nginx/server.key", certificate.keyFile],
      ["/etc/signer/nginx/ca.pem", authority.caFile],
      ["/etc/signer/nginx/crl.pem", authority.crlFile],
      [/access_log .*;/, `access_log ${file("access.log")} test;`],
      ["/var/log/nginx/signer-error.log", file("error.log")],
      ["/var/lib/signer-pull", folder],
      [/"CN=enclave" yes;/, names(options.enclaves)], // the first is the enclaves'
      [/"CN=enclave" yes;(?=\n}\n\n# Where)/, names(options.logSenders)],
      ["unix:/run/signer-log/http.socket", `unix:${options.logSocket ?? file("nobody")}`],
      ["#include signer/log.conf", `${options.logSocket === undefined ? "#" : ""}include signer/log.conf`],
    ]);
    await writeFile(file("signer.conf"), options.edit?.(site) ?? site);
    await writeFile(
      file("nginx.conf"),
      mainConfiguration(configuration, { user: isRoot ? user : undefined, workers }),
    );
    await writeFile(file("error.log"), "");
    server = spawn(program, ["-c", file("nginx.conf"), "-e", file("error.log")], { stdio: "ignore" });
    return isListening(server, address, port);
  };
  let port = await freePort(address);
  for (let attempt = 0; !(await start(port)); attempt += 1) {
    if (attempt === 5 || !(await readFile(file("error.log"), "utf8")).includes("Address already in use"))
      throw new Error(`nginx did not start: ${await readFile(file("error.log"), "utf8")}`);
    port = await freePort(address); // taken between looking for it and using it
  }
  return {
    port,
    url: `https://${address}:${port}/signer`,
    folder,
    outbox: join(folder, "outbox"),
    inbox: join(folder, "inbox"),
    requests: async () =>
      (await readFile(file("access.log"), "utf8").catch(() => ""))
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as LoggedRequest),
    errors: () => readFile(file("error.log"), "utf8"),
    reload: async () => {
      const said = async () =>
        (await readFile(file("error.log"), "utf8")).match(/ gracefully shutting down/g);
      const before = (await said())?.length ?? 0;
      server?.kill("SIGHUP");
      for (let waitedMs = 0; waitedMs < 10_000 && ((await said())?.length ?? 0) === before; waitedMs += 20)
        await pause(); // then the old worker no longer listens
      await pause();
    },
    stop: () => stop(server),
    start: async () => {
      if (!(await start(port)))
        throw new Error(`nginx did not start again: ${await readFile(file("error.log"), "utf8")}`);
    },
  };
}

/** A folder as client.toml names it; its inbox is the workers'. */
async function makeFolder(cleanup: Cleanup, user: string | undefined): Promise<string> {
  const folder = await tempDir(cleanup);
  for (const name of ["outbox", "inbox"]) await mkdir(join(folder, name), { mode: 0o755 });
  if (user !== undefined) {
    await chmod(folder, 0o711);
    const [uid, gid] = await Promise.all(
      ["-u", "-g"].map(async (flag) => Number(await runOk("id", [flag, user]))),
    );
    await chown(join(folder, "inbox"), uid ?? 0, gid ?? 0);
  }
  return folder;
}

function adapt(text: string, replacements: readonly (readonly [string | RegExp, string])[]): string {
  return replacements.reduce((adapted, [from, to]) => {
    if (typeof from === "string" ? !adapted.includes(from) : !from.test(adapted))
      throw new Error(`the shipped configuration has no ${from}`);
    return adapted.replace(from, to);
  }, text);
}

function names(distinguished: readonly string[] = ["CN=enclave"]): string {
  return distinguished.map((name) => `"${name}" yes;`).join(" ");
}

function mainConfiguration(
  folder: string,
  { user, workers }: { readonly user: string | undefined; readonly workers: number },
): string {
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `  ${kind}_temp_path ${join(folder, "temp", kind)};`)
    .join("\n");
  return `daemon off;
${user === undefined ? "" : `user ${user};`}
worker_processes ${workers};
pid ${join(folder, "nginx.pid")};
error_log ${join(folder, "error.log")} notice;
events { worker_connections 256; }
http {
${temp}
  log_format test escape=json '{"method":"$request_method","uri":"$request_uri","status":$status,'
    '"received":$request_length,"sent":$bytes_sent,"connection":$connection,"range":"$http_range"}';
  include signer.conf;
}
`;
}

async function isListening(server: ChildProcess, address: string, port: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < 10_000 && server.exitCode === null; waitedMs += 20) {
    if (await accepts(address, port)) return server.exitCode === null;
    await pause();
  }
  return false;
}

function accepts(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, address, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

async function stop(server: ChildProcess | undefined): Promise<void> {
  if (server?.pid === undefined || server.exitCode !== null || server.signalCode !== null) return;
  const exit = once(server, "exit");
  server.kill("SIGTERM");
  await exit;
}

async function freePort(address: string): Promise<number> {
  const probe = createServer().listen(0, address);
  await once(probe, "listening");
  const bound = probe.address();
  probe.close();
  await once(probe, "close");
  if (bound === null || typeof bound === "string") throw new Error("no free port");
  return bound.port;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}
