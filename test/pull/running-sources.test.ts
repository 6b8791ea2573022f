import type { Readable } from "node:stream";
import { afterEach, expect, test, vi } from "vitest";
import { answerName } from "../../src/exchange/answer.ts";
import type { AnnouncedFile } from "../../src/exchange/notification.ts";
import { Fault } from "../../src/outcome.ts";
import { RunningSources } from "../../src/pull/running-sources.ts";
import type { Signing } from "../../src/pull/signing.ts";
import type { Peer } from "../../src/request/peer.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";
import { announced, makeAnnouncer } from "./announcer.ts";
import { MemoryServer, memorySource } from "./memory-server.ts";

const cleanup = new Cleanup();
afterEach(async () => {
  vi.useRealTimers();
  await cleanup.run();
});

/** Signs when it is told to, or is given up. */
class SlowSigning implements Signing {
  readonly asked = Promise.withResolvers<void>();
  readonly #answer = Promise.withResolvers<void>();

  async sign(_request: AnnouncedFile, _peer: Peer, file: Readable, giveUp: AbortSignal): Promise<Uint8Array> {
    file.destroy();
    giveUp.addEventListener("abort", () => this.#answer.reject(new Fault("busy", "given up")));
    this.asked.resolve();
    await this.#answer.promise;
    return Buffer.from("signature");
  }

  finish(): void {
    this.#answer.resolve();
  }

  async report(): Promise<void> {}
}

async function start() {
  const announcer = await makeAnnouncer(cleanup);
  const bytes = Buffer.from("core");
  const request = announced(7, { name: "core.db.tar.gz", bytes });
  const server = new MemoryServer();
  server.files.set(request.sha256, bytes);
  server.document = await announcer.document({ seq: 7, requests: [request] });
  const signing = new SlowSigning();
  const sources = new RunningSources({
    stateDirectory: await tempDir(cleanup),
    connect: () => server,
    say: () => undefined,
    done: () => undefined,
  });
  const source = memorySource(announcer.blob);
  await sources.change([{ source, signing, basis: undefined }]);
  await signing.asked.promise;
  return { sources, signing, server, name: answerName(request, "sig") };
}

test("at the end, what is being signed is answered", async () => {
  const { sources, signing, server, name } = await start();
  const stopped = sources.stop();
  await new Promise((resolve) => setImmediate(resolve));
  signing.finish();
  await stopped;
  expect([...server.answers.keys()]).toEqual([name]);
  expect(server.isClosed).toBe(true);
});

test("what takes longer than five seconds is given up: the next process asks again", async () => {
  const { sources, server } = await start();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const stopped = sources.stop();
  vi.advanceTimersByTime(5_000);
  await stopped;
  expect([...server.answers.keys()]).toEqual([]);
  expect(server.isClosed).toBe(true);
});

test("one that is the same goes on, another one begins anew, one that is gone ends", async () => {
  const announcer = await makeAnnouncer(cleanup);
  const servers: MemoryServer[] = [];
  const sources = new RunningSources({
    stateDirectory: await tempDir(cleanup),
    connect: () => {
      const server = new MemoryServer();
      servers.push(server);
      return server;
    },
    say: () => undefined,
    done: () => undefined,
  });
  cleanup.add(() => sources.stop());
  const source = memorySource(announcer.blob);
  const signing = new SlowSigning();
  const open = () => servers.map(({ isClosed }) => !isClosed);
  await sources.change([{ source, signing, basis: "a" }]);
  await sources.change([{ source: { ...source }, signing: new SlowSigning(), basis: "a" }]);
  expect(open()).toEqual([true]);
  await sources.change([{ source: { ...source, pollMs: 20 }, signing, basis: "a" }]);
  expect(open()).toEqual([false, true]);
  await sources.change([{ source: { ...source, pollMs: 20 }, signing, basis: "b" }]);
  expect(open()).toEqual([false, false, true]);
  await sources.change([]);
  expect(open()).toEqual([false, false, false]);
});
