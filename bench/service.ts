import { spawn } from "node:child_process";
import { encodeFrame, encodePieces } from "../src/service/frame.ts";
import { ask, requestFrame, TestRelay } from "../test/service/conversation.ts";
import type { Cleanup } from "../test/support/cleanup.ts";
import { buildDatabase } from "../test/support/database-fixture.ts";
import { type Gpg, startGpg } from "../test/support/gpg.ts";
import { startSigningService } from "../test/support/signing-service.ts";
import { tarArchive } from "../test/support/tar-fixture.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import type { Comparison } from "./comparison.ts";
import { readPeak } from "./measure.ts";
import { PATH } from "./signing.ts";

const PACKAGES = 270;
const REQUESTS = 200;
const CLIENTS = [1, 4, 16] as const;
/** As many files as a batch may have. */
const BATCH = 256;
const NAME = "core.db.tar.gz";
/** Of a process that reads so many at once; one request alone is held to MEMORY_AIM_BYTES. */
const PEAK_AIM_BYTES = 300e6;

/**
 * What people write today instead of a signing host: one at a time, a look at the archive, gpg, a line for syslog. Nothing in it
 * waits for a disk.
 */
const SCRIPT = `cd "$1" && exec 9>lock && flock 9 && cat >in.db.tar.gz && bsdtar -tf in.db.tar.gz >/dev/null &&
gpg --batch --no-tty --yes --output out.sig --detach-sign in.db.tar.gz &&
logger --socket-errors=off --tag signer "signed $(sha256sum in.db.tar.gz)" && cat out.sig`;
const GPG_ALONE = "exec gpg --batch --no-tty --output - --detach-sign";

interface Measured {
  /** Of each request, in ms, in ascending order. */
  readonly timesMs: readonly number[];
  /** Of all of them, in ms. */
  readonly totalMs: number;
}

/** Signs one database; rejects where there is no signature. */
type Sign = (database: Uint8Array) => Promise<void>;

/** Signatures over the service's socket, the log durable before each, by one client and by several at once. */
export async function throughService(cleanup: Cleanup): Promise<readonly Comparison[]> {
  const service = await startSigningService(cleanup, {
    service: `max_active = ${Math.max(...CLIENTS)}, max_connections = 64`,
  });
  const gpg = await startGpg(cleanup);
  await gpg.generateKey("Bench <bench@example.org>");
  const folder = await tempDir(cleanup);
  const ways = {
    service: async (database: Uint8Array) => {
      const { words } = await ask(service.socket(), NAME, database);
      if (!words.includes("answered")) throw new Error(`not signed: ${words.join(" ")}`);
    },
    script: shell(gpg, SCRIPT, folder),
    gpg: shell(gpg, GPG_ALONE, folder),
  };
  for (const way of Object.values(ways)) await timed(way, databases(20), 1); // warm

  const comparisons: Comparison[] = [];
  for (const clients of CLIENTS) {
    const service = await timed(ways.service, databases(REQUESTS), clients);
    const script = await timed(ways.script, databases(REQUESTS / 4), clients);
    const alone = await timed(ways.gpg, databases(REQUESTS / 4), clients);
    const what = `service, ${clients} at once: p50 ${at(service, 0.5)}, p99 ${at(service, 0.99)}; a request`;
    comparisons.push(
      { what, peer: "flock, bsdtar, gpg, logger", ours: each(service), theirs: each(script), aim: 0.1 },
      { what, peer: "gpg --detach-sign", ours: each(service), theirs: each(alone) },
    );
  }
  comparisons.push(await oneBatch(service.socket()));
  return comparisons.map((comparison, index) =>
    index === 0
      ? { ...comparison, peakBytes: readPeak(service.process.pid), peakAimBytes: PEAK_AIM_BYTES }
      : comparison,
  );
}

async function oneBatch(socket: string): Promise<Comparison> {
  const times: number[] = [];
  for (let run = 0; run < 5; run += 1) {
    const archive = tarArchive(
      databases(BATCH, 1).map((content, index) => ({ name: `repo-${index}.db.tar.gz`, content })),
    );
    const start = performance.now();
    const relay = await TestRelay.connect(socket);
    relay.send(requestFrame("batch"));
    await relay.until("proceed");
    relay.send(encodePieces("data", archive), encodeFrame("end-of-data"));
    const { words } = await relay.heard();
    if (!words.includes("answered")) throw new Error(`not signed: ${words.join(" ")}`);
    times.push((performance.now() - start) / BATCH);
  }
  const [best = Number.NaN] = times.toSorted((one, other) => one - other);
  return {
    what: `service, a batch of ${BATCH} databases of one package, each; peer: 1000 a second`,
    peer: "the aim",
    ours: best,
    theirs: 1,
    aim: 1,
  };
}

let seed = 0;

/** Databases that nobody has had signed. */
function databases(count: number, packages = PACKAGES): readonly Buffer[] {
  return Array.from({ length: count }, () => {
    seed += 1;
    return buildDatabase({ packages, kind: "db", seed });
  });
}

function shell(gpg: Gpg, script: string, folder: string): Sign {
  return async (database) => {
    const child = spawn("/bin/sh", ["-c", script, "sh", folder], {
      env: { PATH, GNUPGHOME: gpg.home },
      stdio: ["pipe", "pipe", "inherit"],
    });
    let bytes = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(database);
    const status = await new Promise((resolve) => child.once("close", resolve));
    if (status !== 0 || bytes === 0) throw new Error(`the script ended with ${status}`);
  };
}

async function timed(sign: Sign, of: readonly Uint8Array[], clients: number): Promise<Measured> {
  const left = [...of];
  const timesMs: number[] = [];
  const start = performance.now();
  await Promise.all(
    Array.from({ length: clients }, async () => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) {
        const began = performance.now();
        await sign(next);
        timesMs.push(performance.now() - began);
      }
    }),
  );
  return { timesMs: timesMs.toSorted((one, other) => one - other), totalMs: performance.now() - start };
}

function each({ timesMs, totalMs }: Measured): number {
  return totalMs / timesMs.length;
}

function at({ timesMs }: Measured, share: number): string {
  return `${timesMs[Math.floor((timesMs.length - 1) * share)]?.toFixed(1)} ms`;
}
