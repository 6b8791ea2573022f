import { hash } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { chmod, chown, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { answerName } from "../../src/exchange/answer.ts";
import type { AnnouncedFile } from "../../src/exchange/notification.ts";
import { LogReader } from "../../src/log/log-reader.ts";
import { type CertificateAuthority, type CertificateFiles, makeAuthority } from "../support/certificates.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { type Nginx, type NginxOptions, startNginx } from "../support/nginx.ts";
import { makeSigningHost, rule, type SigningHostUnderTest } from "../support/signing-host.ts";
import { waitFor } from "../support/signing-service.ts";
import { type Announcer, announced, makeAnnouncer, ServerFolder } from "./announcer.ts";
import { type Enclave, makeEnclave } from "./enclave.ts";

// signer pull --once in standalone mode, against a real nginx: each test has a server and a signing host of its own.

const shared = new Cleanup();
afterAll(() => shared.run());
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

let authority: CertificateAuthority;
let certificate: CertificateFiles;
let announcer: Announcer;
beforeAll(async () => {
  authority = await makeAuthority(shared, { algorithm: "ed25519" });
  certificate = await authority.issue({ usage: "client", commonName: "enclave" });
  announcer = await makeAnnouncer(shared);
});

interface Scene {
  readonly nginx: Nginx;
  readonly server: ServerFolder;
  readonly host: SigningHostUnderTest;
  readonly enclave: Enclave;
}

async function setUp(
  options: {
    readonly rules?: string;
    readonly settings?: string;
    readonly nginx?: Partial<NginxOptions>;
  } = {},
): Promise<Scene> {
  const nginx = await startNginx(cleanup, { authority, ...options.nginx });
  const server = new ServerFolder(nginx.folder, announcer);
  const { rules } = options;
  const host = await makeSigningHost(cleanup, rules === undefined ? {} : { rules });
  return { nginx, server, host, enclave: enclaveOf(host, nginx, options.settings) };
}

function enclaveOf(host: SigningHostUnderTest, { url }: Nginx, settings = ""): Enclave {
  const notificationKey = announcer.publicKey;
  return makeEnclave(cleanup, host, [{ url, authority, certificate, notificationKey, settings }]);
}

const database = (seed: number) => buildDatabase({ packages: 1, kind: "db", seed });
const CORE = { name: "core.db.tar.gz", bytes: database(1), for: "alice" };
const EXTRA = { name: "extra.db.tar.gz", bytes: database(2) };
const kinds = ({ host }: Scene) => host.requests().map(({ kind }) => kind);

test("what is announced is signed by the rules and the log, and answered; a second time there is nothing to do", async () => {
  const scene = await setUp();
  const { server, host, enclave, nginx } = scene;
  const requests = await server.offer([CORE, EXTRA]);
  expect(await enclave.once()).toEqual({
    status: 0,
    signal: undefined,
    stdout: Buffer.from(
      "repos: core.db.tar.gz (request 1001): signed\nrepos: extra.db.tar.gz (request 1002): signed\n",
    ),
    stderr: "",
  });
  const entries = host.requests();
  expect(entries).toMatchObject(
    requests.map(({ name, sha256 }) => ({ kind: "signed", client: "repos", name, sha256 })),
  );
  expect(requests.map((request) => server.answer(request)?.content.toString("base64"))).toEqual(
    entries.map((entry) => ("signature" in entry ? entry.signature : "")),
  );
  const fingerprint = hash("sha256", announcer.blob, "base64").replace(/=+$/, "");
  const reader = LogReader.open(host.stateDirectory);
  expect(reader.privateRecord(entries[0]?.seq ?? 0)).toMatchObject({
    for: "alice",
    address: "127.0.0.1",
    sshKey: `SHA256:${fingerprint}`,
  });
  reader.close();
  expect([enclave.spooled(), enclave.remembered()]).toMatchObject([
    [],
    { newest: { seq: 1003, settled: true } },
  ]);

  const asked = (await nginx.requests()).length;
  expect(await enclave.once()).toMatchObject({ status: 0, stdout: Buffer.alloc(0), stderr: "" });
  expect((await nginx.requests()).slice(asked)).toMatchObject([{ method: "GET", status: 200 }]);
  expect(kinds(scene)).toEqual(["signed", "signed"]);
});

test("what the rules do not allow is answered with a refusal, and the log has it; what they allow is signed", async () => {
  const rules = rule({ id: "core", type: "db", names: ["core.db.tar.gz"], limits: ["1 per day"] });
  const scene = await setUp({ rules });
  const { server, enclave } = scene;
  const other = { ...CORE, bytes: database(3) };
  const image = { name: "core.files.tar.gz", bytes: Buffer.from("no database") };
  const requests = await server.offer([EXTRA, CORE, other, image]);
  expect(await enclave.once()).toMatchObject({ status: 0 });
  expect(requests.map((request) => server.answerCode(request))).toEqual([
    "not-permitted",
    "sig",
    "over-limit",
    "not-permitted",
  ]);
  expect(kinds(scene)).toEqual(["refused", "signed", "refused", "refused"]);
});

test("a file larger than max_size is not fetched", async () => {
  const scene = await setUp({ settings: 'max_size = "100 B"' });
  const requests = await scene.server.offer([CORE]);
  const { status, stdout } = await scene.enclave.once();
  expect([status, stdout.toString()]).toEqual([
    0,
    "repos: core.db.tar.gz (request 1001): refused: too-large: expected at most 100 B, the max_size of the source\n",
  ]);
  expect(requests.map((request) => scene.server.answerCode(request))).toEqual(["too-large"]);
  expect(
    (await scene.nginx.requests()).filter(({ uri }) => uri.includes(requests[0]?.sha256 ?? "-")),
  ).toEqual((await scene.nginx.requests()).filter(({ uri }) => uri.includes("/inbox/")));
});

describe("a notification that is none of the server's", () => {
  const refusals = ({ host }: Scene) =>
    host.requests().flatMap((entry) => (entry.kind === "refused" ? [`${entry.code}: ${entry.reason}`] : []));

  test("is refused and logged once, after a restart as well; the next good one goes on", async () => {
    const scene = await setUp();
    const { server, enclave } = scene;
    const requests = [announced(1001, CORE)];
    await writeFile(join(server.outbox, requests[0]?.sha256 ?? ""), CORE.bytes);
    const good = await announcer.document({ seq: 2000, requests });
    const unsigned = Buffer.from(`${good.toString("latin1").split("\n")[0]}\n`);
    const bad = [unsigned, Buffer.alloc(641 * 1024, 0x20)];
    for (const document of bad) {
      await server.show(document);
      for (let count = 0; count < 2; count += 1) {
        const { status, stderr } = await enclave.once();
        expect([status, stderr]).toEqual([
          65,
          expect.stringMatching(/^signer: pull: repos: bad-notification: /),
        ]);
      }
    }
    expect(refusals(scene)).toEqual([
      "bad-notification: the notification is not acceptable: it is not signed",
      "bad-notification: the notification has more than 640 KiB",
    ]);
    expect(existsSync(join(server.inbox, answerName(requests[0] as AnnouncedFile, "sig")))).toBe(false);
    await server.show(good);
    expect(await enclave.once()).toMatchObject({ status: 0 });
    expect(requests.map((request) => server.answerCode(request))).toEqual(["sig"]);
  });

  test("is rolled back where its number is lower, or the same with other requests", async () => {
    const scene = await setUp();
    const { server, enclave } = scene;
    const older = await announcer.document({ seq: 1999, requests: [announced(1500, EXTRA)] });
    const other = await announcer.document({ seq: 2000, requests: [announced(1500, EXTRA)] });
    await writeFile(join(server.outbox, announced(1500, EXTRA).sha256), EXTRA.bytes);
    await server.offer([CORE], { seq: 2000 });
    expect(await enclave.once()).toMatchObject({ status: 0 });
    for (const document of [older, other, older, other]) {
      await server.show(document);
      expect(await enclave.once()).toMatchObject({ status: 65, stdout: Buffer.alloc(0) });
    }
    expect(refusals(scene)).toEqual([
      "notification-rolled-back: notification 1999 was shown after 2000",
      "notification-rolled-back: there is another notification with the number 2000",
    ]);
    expect(kinds(scene)).toEqual(["signed", "refused", "refused"]);
    const [extra] = await server.offer([EXTRA], { seq: 2001 });
    expect(await enclave.once()).toMatchObject({ status: 0 });
    expect(server.answerCode(extra as AnnouncedFile)).toBe("sig");
    expect(enclave.remembered()).toMatchObject({ newest: { seq: 2001, settled: true } });
  });
});

test("a file that was changed after it was announced is not signed, nor kept; the right one is", async () => {
  const scene = await setUp();
  const { server, enclave } = scene;
  const [request] = await server.offer([CORE]);
  if (request === undefined) throw new Error("there is no request");
  const file = join(server.outbox, request.sha256);
  const changed = Buffer.from(CORE.bytes);
  changed[10] = (changed[10] ?? 0) ^ 1;
  for (const bytes of [changed, CORE.bytes.subarray(1), Buffer.concat([CORE.bytes, Buffer.alloc(1)])]) {
    await writeFile(file, bytes);
    expect(await enclave.once()).toMatchObject({
      status: 69,
      stderr: expect.stringMatching(
        /^signer: pull: repos: core\.db\.tar\.gz \(request 1001\): source-unavailable: /,
      ),
    });
    const kept = enclave.spooled().map((name) => statSync(join(enclave.state, name)).size);
    expect([server.answerCode(request), Math.max(0, ...kept), kinds(scene)]).toEqual(["none", 0, []]);
  }
  await writeFile(file, CORE.bytes);
  expect(await enclave.once()).toMatchObject({ status: 0 });
  expect(server.answerCode(request)).toBe("sig");
});

test("an upload that is lost after signing: the log gives the same signature once more, and takes no place for it", async () => {
  const rules = rule({ id: "core", type: "db", limits: ["1 per day"] });
  const scene = await setUp({ rules });
  const { server, enclave, host } = scene;
  const [request] = await server.offer([CORE]);
  if (request === undefined) throw new Error("there is no request");
  const { uid, gid } = await stat(server.inbox);
  await chown(server.inbox, 0, 0);
  await chmod(server.inbox, process.getuid?.() === 0 ? 0o755 : 0o555);
  expect(await enclave.once()).toMatchObject({ status: 69 });
  expect([server.answerCode(request), kinds(scene)]).toEqual(["none", ["signed"]]);
  expect(enclave.remembered()).toMatchObject({ newest: { settled: false } });
  await chown(server.inbox, uid, gid);
  await chmod(server.inbox, 0o755);
  expect(await enclave.once()).toMatchObject({ status: 0 });
  const [signed, again] = host.requests();
  expect([signed?.kind, again?.kind]).toEqual(["signed", "reissued"]);
  expect(server.answer(request)?.content.toString("base64")).toBe(
    signed !== undefined && "signature" in signed ? signed.signature : "",
  );
});

test("a download that is killed goes on where it was: only the rest is fetched", async () => {
  let limit = "limit_rate 1m;";
  const edit = (site: string) => site.replace("location / {", `${limit}\n    location / {`);
  const scene = await setUp({ nginx: { edit } });
  const { server, enclave, host, nginx } = scene;
  const bytes = buildDatabase({ packages: 4000, kind: "files", compression: "none" });
  const [request] = await server.offer([{ name: "core.files.tar", bytes }]);
  if (request === undefined) throw new Error("there is no request");
  const size = () => stat(join(enclave.state, enclave.spooled()[0] ?? "none")).then((found) => found.size);
  const child = enclave.start("--once");
  let fetched = 0;
  await waitFor(() => enclave.spooled().length > 0);
  while (fetched < 500_000) fetched = await size();
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exited;
  fetched = await size();
  expect(fetched).toBeLessThan(bytes.length);
  await nginx.stop();
  limit = "";
  await nginx.start();
  expect(await enclave.once()).toMatchObject({ status: 0 });
  expect([server.answerCode(request), kinds(scene)]).toEqual(["sig", ["signed"]]);
  const downloads = (await nginx.requests()).filter(({ uri }) => uri.endsWith(`/outbox/${request.sha256}`));
  expect(downloads.at(-1)).toMatchObject({ status: 206, range: `bytes=${fetched}-` });
  const head = (downloads.at(-1)?.sent ?? 0) - (bytes.length - fetched);
  expect(head, "beside the rest of the file, a head").toBeGreaterThan(0);
  expect(head).toBeLessThan(1000);
  expect(host.requests()).toHaveLength(1);
});

test("two signing hosts on one server: there is one answer, and both logs say what they did", async () => {
  const scene = await setUp();
  const { server, nginx } = scene;
  const other = await makeSigningHost(cleanup);
  const second = enclaveOf(other, nginx);
  const files = Array.from({ length: 6 }, (_, index) => ({ ...CORE, bytes: database(10 + index) }));
  const requests = await server.offer(files);
  const [one, two] = await Promise.all([scene.enclave.once(), second.once()]);
  expect([one.status, two.status, one.stderr, two.stderr]).toEqual([0, 0, "", ""]);
  expect(await server.answers()).toEqual(requests.map((request) => answerName(request, "sig")).toSorted());
  const signatures = [scene.host, other].map((host) =>
    host.requests().map((entry) => ("signature" in entry ? entry.signature : entry.kind)),
  );
  for (const request of requests)
    expect(signatures.flat()).toContain(server.answer(request)?.content.toString("base64"));
  const said = (ended: { stdout: Buffer }) => ended.stdout.toString().match(/: signed$/gm)?.length ?? 0;
  expect(said(one) + said(two), "each request was answered by one of them").toBe(requests.length);
});

test("standalone, forced command and signer-log work with the same log meanwhile", async () => {
  const scene = await setUp();
  const { server, enclave, host } = scene;
  await server.offer(Array.from({ length: 4 }, (_, index) => ({ ...CORE, bytes: database(20 + index) })));
  const [ended, ...accepted] = await Promise.all([
    enclave.once(),
    ...[30, 31, 32].map((seed) => host.accept({ command: "core.db.tar.gz", stdin: database(seed) })),
  ]);
  expect([ended.status, ...accepted.map(({ status }) => status)]).toEqual([0, 0, 0, 0]);
  expect(kinds(scene)).toEqual(Array(7).fill("signed"));
});

describe("it says what is wrong, and signs nothing, where", () => {
  test("there are no sources, or none of that name", async () => {
    const host = await makeSigningHost(cleanup);
    expect(await host.signer(["pull", "--once"])).toMatchObject({
      status: 78,
      stderr: "signer: bad-configuration: expected [[sources]]: there is nothing to fetch from\n",
    });
    const { enclave } = await setUp();
    expect(await enclave.once("--source", "nobody")).toMatchObject({
      status: 78,
      stderr: "signer: bad-configuration: --source: expected one of repos\n",
    });
  });

  test("the state folder is missing, open to others, or another process works there", async () => {
    const { enclave, nginx } = await setUp();
    await chmod(enclave.state, 0o755);
    expect(await enclave.once()).toMatchObject({ status: 74, stderr: expect.stringMatching(/of mode 0700/) });
    await chmod(enclave.state, 0o700);
    const child = enclave.start();
    await waitFor(() => existsSync(join(enclave.state, "repos.db")));
    await expect.poll(async () => (await nginx.requests()).length).toBeGreaterThan(0);
    expect(await enclave.once()).toMatchObject({
      status: 75,
      stderr: expect.stringMatching(/^signer: busy: another signer pull works with /),
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    expect(await exited).toBe(0);
    await rm(enclave.state, { recursive: true });
    expect(await enclave.once()).toMatchObject({
      status: 78,
      stderr: expect.stringMatching(/^signer: no-state: .* is missing: make it, mode 0700/),
    });
  });

  test("what was remembered cannot be read", async () => {
    const { enclave, server, nginx } = await setUp();
    await server.offer([CORE]);
    writeFileSync(join(enclave.state, "repos.db"), "?");
    expect(await enclave.once()).toMatchObject({
      status: 74,
      stderr: expect.stringMatching(
        /^signer: pull-state-failed: .*repos\.db is not what signer pull wrote: restore it/,
      ),
    });
    expect(await nginx.requests()).toEqual([]);
  });

  test("the server is away, or is another one", async () => {
    const { enclave, nginx } = await setUp();
    await nginx.stop();
    expect(await enclave.once()).toMatchObject({
      status: 69,
      stderr: expect.stringMatching(/^signer: pull: repos: source-unavailable: [\x20-\x7e]+\n$/),
    });
  });
});

test("it works behind Node's permission model, which leaves it its own files alone", async () => {
  const { enclave, host, nginx } = await setUp();
  const child = enclave.start();
  await expect.poll(async () => (await nginx.requests()).length).toBeGreaterThan(0);
  const flags = readFileSync(`/proc/${child.pid}/cmdline`, "latin1").split("\0");
  expect(flags).toContain("--permission");
  const written = flags.filter((flag) => flag.startsWith("--allow-fs-write="));
  expect(written).toEqual([`--allow-fs-write=${enclave.state}`, `--allow-fs-write=${host.stateDirectory}`]);
});
