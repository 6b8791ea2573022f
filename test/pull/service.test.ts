import { type ChildProcessWithoutNullStreams, execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { chmod, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { AnnouncedFile } from "../../src/exchange/notification.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { type Nginx, type NginxOptions, startNginx } from "../support/nginx.ts";
import { type SigningServiceUnderTest, startSigningService, waitFor } from "../support/signing-service.ts";
import { ServerFolder } from "./announcer.ts";
import { type Enclave, makeEnclave } from "./enclave.ts";
import { makeSite, type Site } from "./site.ts";

// signer pull as a service, with signer serve behind it and a real nginx before it.

const shared = new Cleanup();
afterAll(() => shared.run());
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

let site: Site;
beforeAll(async () => {
  site = await makeSite(shared);
});

interface Scene {
  readonly nginx: Nginx;
  readonly server: ServerFolder;
  readonly service: SigningServiceUnderTest;
  readonly enclave: Enclave;
}

async function setUp(nginxOptions: Partial<NginxOptions> = {}): Promise<Scene> {
  const [nginx, service] = await Promise.all([
    startNginx(cleanup, { authority: site.authority, ...nginxOptions }),
    startSigningService(cleanup),
  ]);
  const { announcer } = site;
  const source = { ...site, url: nginx.url, notificationKey: announcer.publicKey };
  const enclave = makeEnclave(cleanup, service.host, [source]);
  return { nginx, service, enclave, server: new ServerFolder(nginx.folder, announcer) };
}

/** A running `signer pull`, and what it said. */
class Running {
  readonly process: ChildProcessWithoutNullStreams;
  #said = "";

  constructor(child: ChildProcessWithoutNullStreams) {
    this.process = child;
    child.stderr.on("data", (chunk: Buffer) => {
      this.#said += chunk.toString();
    });
  }

  /** Lines, without `signer: pull: `. */
  get lines(): readonly string[] {
    return this.#said
      .split("\n")
      .slice(0, -1)
      .map((line) => line.replace(/^signer: pull: /, ""));
  }

  async until(line: RegExp): Promise<void> {
    await waitFor(() => this.lines.some((each) => line.test(each))).catch((error: unknown) => {
      throw new Error(`${line} was not said, but ${this.#said}`, { cause: error });
    });
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<unknown> {
    const exited = once(this.process, "exit");
    this.process.kill(signal);
    const [status] = await exited;
    return status;
  }
}

const start = ({ enclave }: Scene) => new Running(enclave.start());
const CORE = { name: "core.db.tar.gz", bytes: buildDatabase({ packages: 1, kind: "db" }), for: "alice" };
const EXTRA = { name: "extra.db.tar.gz", bytes: buildDatabase({ packages: 1, kind: "db", seed: 2 }) };

async function answered(server: ServerFolder, requests: readonly AnnouncedFile[]): Promise<void> {
  await waitFor(() => requests.every((request) => server.answer(request) !== undefined));
}

test("it has signed what comes, says so, and ends with 0 when it is told to", async () => {
  const scene = await setUp();
  const { server, service } = scene;
  const running = start(scene);
  await running.until(/^watches repos$/);
  const requests = await server.offer([CORE, EXTRA]);
  await answered(server, requests);
  await running.until(/^repos: extra\.db\.tar\.gz \(request 1002\): signed$/);
  expect(requests.map((request) => server.answerCode(request))).toEqual(["sig", "sig"]);
  expect(service.host.requests().map(({ kind }) => kind)).toEqual(["signed", "signed"]);
  await server.announce([]);
  expect(await running.stop()).toBe(0);
  expect(running.lines).toHaveLength(3);
});

test("a source whose memory is damaged stops no other one, and is said", async () => {
  const [nginx, service] = await Promise.all([
    startNginx(cleanup, { authority: site.authority }),
    startSigningService(cleanup),
  ]);
  const source = { ...site, url: nginx.url, notificationKey: site.announcer.publicKey };
  const enclave = makeEnclave(cleanup, service.host, [{ ...source, name: "damaged" }, source]);
  writeFileSync(join(enclave.state, "damaged.db"), "no database");
  const running = new Running(enclave.start());
  await running.until(/^watches repos$/);
  expect(running.lines[0]).toMatch(/^pull-state-failed: .*damaged\.db .*; the other sources are watched$/);
  const server = new ServerFolder(nginx.folder, site.announcer);
  await answered(server, await server.offer([CORE]));
  expect(await running.stop()).toBe(0);
});

test("in split mode it has neither key nor log: not in its fence, and what it is told of it passes on", async () => {
  const scene = await setUp();
  const { server, service, enclave } = scene;
  const running = start(scene);
  await running.until(/^watches/);
  const flags = readFileSync(`/proc/${running.process.pid}/cmdline`, "latin1").split("\0");
  expect(flags).toContain("--permission");
  expect(flags.filter((flag) => flag.startsWith("--allow-fs-write="))).toEqual([
    `--allow-fs-write=${enclave.state}`,
  ]);
  expect(flags.join("\n")).not.toContain(service.host.keyFile);
  expect(flags.join("\n")).not.toContain(service.host.stateDirectory);
  const image = { name: "core.files.tar.gz", bytes: Buffer.from("no database at all, as the service sees") };
  const [request] = await server.offer([image]);
  await running.until(/refused: not-recognised: /);
  expect(server.answerCode(request as AnnouncedFile)).toBe("not-recognised");
  await server.show(Buffer.from("nothing signed\n"));
  await running.until(/^repos: bad-notification: /);
  expect(service.host.requests()).toMatchObject([
    { kind: "refused", code: "not-recognised", client: "repos" },
    { kind: "refused", code: "bad-notification", client: "repos" },
  ]);
});

describe("whatever goes away, work goes on when it is back, and the journal has a line for each:", () => {
  test("the server", async () => {
    const scene = await setUp();
    const { nginx, server } = scene;
    const running = start(scene);
    await running.until(/^watches/);
    await nginx.stop();
    await running.until(/^repos: source-unavailable: /);
    const requests = await server.offer([CORE]);
    await nginx.start();
    await answered(server, requests);
    await running.until(/^repos: the server answers again; it was away since /);
    expect(running.lines.filter((line) => line.includes("source-unavailable"))).toHaveLength(1);
  });

  test("the signing service", async () => {
    const scene = await setUp();
    const { server, service } = scene;
    const running = start(scene);
    await running.until(/^watches/);
    await service.stop();
    const requests = await server.offer([CORE]);
    await running.until(/^repos: core\.db\.tar\.gz \(request 1001\): service-unavailable: /);
    await service.restart();
    await answered(server, requests);
    expect(requests.map((request) => server.answerCode(request))).toEqual(["sig"]);
    expect(running.lines.filter((line) => line.includes("service-unavailable"))).toHaveLength(1);
  });
});

test("SIGTERM in the middle of a download does not wait for its end; the next process goes on", async () => {
  let limit = "limit_rate 300k;";
  const edit = (text: string) => text.replace("location / {", `${limit}\n    location / {`);
  const scene = await setUp({ edit });
  const { server, enclave, nginx } = scene;
  const bytes = buildDatabase({ packages: 1500, kind: "files", compression: "none" });
  const requests = await server.offer([{ name: "core.files.tar", bytes }]);
  const first = start(scene);
  await waitFor(() => enclave.spooled().length > 0);
  expect(await first.stop()).toBe(0);
  const { size } = await stat(join(enclave.state, enclave.spooled()[0] ?? "none"));
  expect(size).toBeLessThan(bytes.length);
  await nginx.stop();
  limit = "";
  await nginx.start();
  start(scene);
  await answered(server, requests);
  const ranges = (await nginx.requests()).map(({ range }) => range).filter((range) => range !== "");
  expect(ranges).toEqual(size === 0 ? [] : [`bytes=${size}-`]);
});

describe("SIGHUP", () => {
  test("has the configuration read again: sources come, go, and change", async () => {
    const scene = await setUp();
    const { enclave, service } = scene;
    const running = start(scene);
    await running.until(/^watches repos$/);
    const text = readFileSync(service.host.configFile, "utf8");
    const other = await startNginx(cleanup, { authority: site.authority });
    const table = text.slice(text.indexOf("[[sources]]")).replace('name = "repos"', 'name = "others"');
    writeFileSync(
      service.host.configFile,
      `${text}\n${table.replace(/url = .*/, `url = ${JSON.stringify(other.url)}`)}`,
    );
    running.process.kill("SIGHUP");
    await running.until(/^the configuration was read again$/);
    const otherServer = new ServerFolder(other.folder, site.announcer);
    const requests = [await scene.server.offer([CORE]), await otherServer.offer([EXTRA])];
    await answered(scene.server, requests[0] ?? []);
    await answered(otherServer, requests[1] ?? []);
    await running.until(/^others: extra\.db\.tar\.gz \(request 1001\): signed$/);
    writeFileSync(service.host.configFile, text);
    running.process.kill("SIGHUP");
    await waitFor(() => running.lines.filter((line) => line.includes("read again")).length === 2);
    const asked = (await other.requests()).length;
    await scene.nginx.requests();
    await expect.poll(async () => (await scene.nginx.requests()).length).toBeGreaterThan(5);
    expect((await other.requests()).length - asked).toBeLessThanOrEqual(1);
    expect(enclave.remembered("others")).toMatchObject({ newest: { seq: 1002, settled: true } });
    writeFileSync(service.host.configFile, text.replace(scene.nginx.url, other.url));
    running.process.kill("SIGHUP");
    await waitFor(() => running.lines.filter((line) => line.includes("read again")).length === 3);
    await answered(otherServer, await otherServer.offer([{ ...CORE, name: "moved.db.tar.gz" }]));
    await running.until(/^repos: moved\.db\.tar\.gz \(request 1003\): signed$/);
  });

  test("changes nothing where the configuration is wrong, or another place for its files is in it", async () => {
    const scene = await setUp();
    const { server, service } = scene;
    const running = start(scene);
    await running.until(/^watches repos$/);
    const text = readFileSync(service.host.configFile, "utf8");
    for (const [wrong, said] of [
      [
        text.replace('poll = "1 s"', 'poll = "often"'),
        /^nothing was changed: .*source 1, poll: expected a duration/,
      ],
      [
        text.replace(/^state = .*pull"$/m, 'state = "/elsewhere"'),
        /^nothing was changed: mode, state, journal and/,
      ],
      [text.slice(0, text.indexOf("[[sources]]")), /^nothing was changed: expected \[\[sources\]\]/],
    ] as const) {
      writeFileSync(service.host.configFile, wrong);
      running.process.kill("SIGHUP");
      await running.until(said);
    }
    await answered(server, await server.offer([CORE]));
    expect(await running.stop()).toBe(0);
  });
});

const isRoot = process.getuid?.() === 0;
test.runIf(isRoot)("where the disk is full, it says so, and goes on when there is room", async () => {
  const scene = await setUp();
  const { server, enclave } = scene;
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", enclave.state]);
  cleanup.add(() => execFileSync("umount", ["-l", enclave.state]));
  await chmod(enclave.state, 0o700);
  const running = start(scene);
  cleanup.add(() => running.process.kill("SIGKILL"));
  await running.until(/^watches/);
  const big = buildDatabase({ packages: 100, kind: "files", compression: "none" });
  const requests = await server.offer([{ name: "core.files.tar", bytes: big }, EXTRA]);
  await running.until(/^repos: core\.files\.tar \(request 1001\): pull-state-failed: .* has no room for /);
  await answered(server, requests.slice(1));
  execFileSync("mount", ["-o", "remount,size=8m", enclave.state]);
  await answered(server, requests);
  expect(requests.map((request) => server.answerCode(request))).toEqual(["sig", "sig"]);
  expect(await running.stop()).toBe(0);
});
