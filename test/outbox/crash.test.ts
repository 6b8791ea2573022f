import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { signFiles } from "../../src/client/sign-files.ts";
import type { FileName } from "../../src/request/request.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { type PullEnclave, type Sign, startPullEnclave } from "../support/pull-enclave.ts";
import { run, runOk } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";
import { configText, makePullStory, type PullStory } from "./fixture.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

/** The real program, whose own process the launcher becomes. */
const program = ({ configFile, paths }: Ground) =>
  [resolve("bin/signer-client"), "--config", configFile, "sign", "-q", ...paths] as const;

/** Calls that change something on disk. */
const CALLS = ["link", "rename", "unlink", "fsync"] as const;

/** Whose signature never comes. */
const HELD = "held.db.tar.gz" as FileName;

/** What one worker after the other works in. */
interface Ground {
  readonly story: PullStory;
  readonly enclave: PullEnclave;
  readonly configFile: string;
  readonly paths: readonly string[];
}
let seed = 0;

/** The files that are to be signed, of bytes that were not there before. */
function renew(paths: readonly string[]): void {
  for (const path of paths)
    writeFileSync(path, buildDatabase({ kind: "db", packages: 1, compression: "gzip", seed: ++seed }));
}

async function makeGround(): Promise<Ground> {
  const story = await makePullStory(cleanup);
  const folder = await tempDir(cleanup);
  const paths = [join(folder, "core.db.tar.gz")];
  const sign: Sign = async (file, bytes) => (file.name === HELD ? undefined : await story.sign(file, bytes));
  const configFile = join(folder, "client.toml");
  writeFileSync(configFile, configText(story));
  return { story, paths, configFile, enclave: startPullEnclave(cleanup, story.folder, sign) };
}

/** The program's calls in their order, as strace shows them. */
async function traceOf(ground: Ground): Promise<readonly string[]> {
  renew(ground.paths);
  const log = join(await tempDir(cleanup), "log");
  const traced = ["-y", "-s", "4096", "-e", `trace=${CALLS.join(",")}`, "-o", log];
  await runOk("strace", [...traced, ...program(ground)]);
  return readFileSync(log, "utf8").split("\n");
}

/** Which of them are on the folder: the how manieth of its kind each is. */
async function callsOf(ground: Ground): Promise<readonly (readonly [string, number])[]> {
  const counts = new Map<string, number>();
  return (await traceOf(ground)).flatMap((line): (readonly [string, number])[] => {
    const call = /^(\w+)\(/.exec(line)?.[1];
    if (call === undefined) return [];
    counts.set(call, (counts.get(call) ?? 0) + 1);
    return line.includes(ground.story.folder.folder) ? [[call, counts.get(call) ?? 0]] : [];
  });
}

test("a file and the number are durable before they are announced, and what is announced no more is removed after that", async () => {
  const ground = await makeGround();
  const { folder } = ground.story.folder;
  const steps = (await traceOf(ground)).flatMap((line) => {
    const call = /^\w+/.exec(line)?.[0];
    const paths = [...line.matchAll(/[<"]([^<>"]+)[>"]/g)].map(
      ([, path]) => path?.replace(`${folder}/`, "") ?? "",
    );
    const plain = paths
      .map((path) =>
        path
          .replace(/@.*/, "")
          .replace(/\d{5,}/, "SEQ")
          .replace(/\.\d+$/, "")
          .replace(/[0-9a-f]{64}/, "SHA256"),
      )
      .join(" ");
    const isOurs = line.includes(folder) && !plain.includes("claim") && !line.includes("ENOENT");
    return isOurs ? `${call} ${plain}` : [];
  });
  const number = ["fsync requests/new.state", "rename requests/new.state requests/state", "fsync requests"];
  const notification = [
    "fsync outbox",
    "fsync outbox/new.notification",
    "rename outbox/new.notification outbox/notification",
    "fsync outbox",
  ];
  expect(steps).toEqual([
    "unlink requests/lock",
    "fsync outbox/copy",
    "rename outbox/copy outbox/SHA256",
    ...number,
    "rename requests/new.request.SEQ requests/request.SEQ",
    ...notification,
    "unlink requests/lock",
    ...number,
    ...notification,
    "unlink requests/request.SEQ",
    "unlink outbox/SHA256",
    "unlink inbox/SHA256.SEQ.sig",
    "unlink requests/lock",
  ]);
  await ground.enclave.stop();
});

test("killed at each change that it makes, the next run clears up and gets its signatures; no number comes again, nobody else's request is lost", {
  timeout: 180_000,
}, async () => {
  const grounds = await Promise.all([makeGround(), makeGround()]);
  const calls = await callsOf(grounds[0]);
  expect(calls.length).toBeGreaterThan(20);
  let [killed, left] = [0, 0];
  const queue = [...calls];
  const work = async (ground: Ground) => {
    const { story, enclave, paths } = ground;
    // Somebody else who waits all the while: nothing that happens may take that away.
    const other = await holdRequest(story);
    for (let point = queue.shift(); point !== undefined; point = queue.shift()) {
      const what = point.join(" ");
      const [call, nth] = point;
      renew(paths);
      const inject = [
        "-e",
        `trace=${call}`,
        "-e",
        `inject=${call}:signal=KILL:when=${nth}`,
        "-o",
        "/dev/null",
      ];
      const { signal } = await run("strace", [...inject, ...program(ground)]);
      if (signal === "SIGKILL") killed += 1;
      const { outbox, requests } = story.folder.left();
      if (outbox.length > 1 || requests.length > 1) left += 1;
      expect(
        story.folder.notification()?.requests.map(({ seq }) => seq),
        what,
      ).toContain(other.seq);

      renew(paths);
      const files = paths.map((path) => ({ path, name: path.slice(path.lastIndexOf("/") + 1) as FileName }));
      expect(await signFiles(story.config, files), what).toHaveLength(1);
      expect(story.folder.left(), what).toEqual(other.left);
      expect(
        story.folder.notification()?.requests.map(({ seq }) => seq),
        what,
      ).toEqual([other.seq]);
    }
    await other.end();
    await enclave.stop();
    expect(enclave.complaints).toEqual([]);
    expect(story.folder.left()).toEqual({ outbox: [], inbox: [], requests: [] });
    const numbers = enclave.answered.map(({ seq }) => seq);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(enclave.seen).toEqual(enclave.seen.toSorted((one, two) => one - two));
  };
  await Promise.all(grounds.map(work));
  expect(killed).toBe(calls.length);
  expect(left).toBeGreaterThan(10);
});

/** A request of this process, which the signing host does not answer. */
async function holdRequest({ folder, config }: PullStory) {
  const path = join(await tempDir(cleanup), HELD);
  writeFileSync(path, "held");
  const aborted = new AbortController();
  const files = [{ path, name: HELD }];
  const patient = { ...config, pull: { ...config.pull, timeoutMs: 3_600_000 } };
  const waiting = signFiles(patient, files, { signal: aborted.signal });
  waiting.catch(() => undefined);
  await expect.poll(() => folder.notification()?.requests.length).toBe(1);
  return {
    seq: folder.notification()?.requests[0]?.seq ?? 0,
    left: folder.left(),
    end: async () => {
      aborted.abort();
      await waiting.catch(() => undefined);
    },
  };
}
