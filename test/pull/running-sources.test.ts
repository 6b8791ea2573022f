import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { PullSource } from "../../src/config/config.ts";
import { answerName } from "../../src/exchange/answer.ts";
import { RunningSources, type SourcePlan } from "../../src/pull/running-sources.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";
import { type Announcer, announced, makeAnnouncer } from "./announcer.ts";
import { MemoryServer } from "./memory-server.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const CORE = { name: "core.db.tar.gz", bytes: Buffer.from("core") };

let announcer: Announcer;
let folder: string;
let servers: Map<string, MemoryServer>;
let lines: string[];
let sources: RunningSources;
beforeEach(async () => {
  announcer = await makeAnnouncer(cleanup);
  folder = await tempDir(cleanup);
  servers = new Map();
  lines = [];
  sources = new RunningSources({
    stateDirectory: folder,
    connect: ({ name }) => serverOf(name),
    say: (source, line) => lines.push(`${source}: ${line}`),
    done: (source, line) => lines.push(`${source}: ${line}`),
  });
  cleanup.add(() => sources.stop());
});

function serverOf(source: string): MemoryServer {
  const server = servers.get(source) ?? new MemoryServer();
  servers.set(source, server);
  return server;
}

/** A source, signed for by somebody who signs everything. */
function plan(name: string, settings: Partial<PullSource> = {}): SourcePlan {
  return {
    source: {
      name,
      url: "https://repo.example.org/signer",
      client: "repos",
      caFile: "/none",
      crlFile: undefined,
      certificateFile: "/none",
      keyFile: "/none",
      notificationKey: announcer.blob,
      pollMs: 5,
      maxBackOffMs: 5,
      timeoutMs: 1000,
      maxBytes: 10_000,
      proxy: undefined,
      ...settings,
    },
    signing: {
      sign: async (_request, _peer, file) => {
        for await (const _ of file);
        return Buffer.from("signature");
      },
      report: async () => undefined,
    },
    basis: name,
  };
}

/** Whether a source is worked on. */
async function works(name: string): Promise<void> {
  const server = serverOf(name);
  const asked = server.asked.length;
  await vi.waitFor(() => expect(server.asked.length).toBeGreaterThan(asked), { timeout: 10_000 });
}

test("a server that announces without end does not flood the journal", async () => {
  const server = serverOf("repos");
  const documents = await Promise.all(
    Array.from({ length: 7 }, (_, index) => {
      const requests = Array.from({ length: 1000 }, (_, at) => announced(1 + 1000 * index + at, CORE));
      for (const request of requests) server.answers.set(answerName(request, "sig"), Buffer.from("x"));
      return announcer.document({ seq: 1000 * (index + 1), requests });
    }),
  );
  let looked = 0;
  server.fails = (question) => {
    if (question === "notification") server.document = documents[Math.floor(looked / 1000)];
    else looked += 1;
    return undefined;
  };
  await sources.change([plan("repos")]);
  await vi.waitFor(() => expect(looked).toBe(7000), { timeout: 20_000 });
  await vi.waitFor(() => expect(lines).toHaveLength(5001));
});

test("a source whose memory is damaged is a fault, and holds up no other", async () => {
  await sources.change([plan("first"), plan("last")]);
  await works("last");
  writeFileSync(join(folder, "broken.db"), "x");
  const changed = ["first", "broken", "last"].map((name) => plan(name, { pollMs: 6 }));
  await expect(sources.change(changed)).rejects.toMatchObject({ code: "pull-state-failed" });
  await works("first");
  await works("last");
  expect(servers.has("broken")).toBe(false);
});
