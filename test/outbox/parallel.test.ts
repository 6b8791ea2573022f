import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { type Gpg, startGpg } from "../support/gpg.ts";
import { startPullEnclave } from "../support/pull-enclave.ts";
import { run } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";
import { configText, makePullStory, type PullStory } from "./fixture.ts";

const cleanup = new Cleanup();
let story: PullStory;
let gpg: Gpg;
beforeAll(async () => {
  [story, gpg] = await Promise.all([makePullStory(cleanup), startGpg(cleanup)]);
  await gpg.importKey(await readFile(story.publicKeyFile));
});
afterAll(() => cleanup.run());

test("eight processes at once lose nothing of each other, and each has the signatures of its own files", {
  timeout: 120_000,
}, async () => {
  const enclave = startPullEnclave(cleanup, story.folder, story.sign);
  const configFile = join(await tempDir(cleanup), "client.toml");
  writeFileSync(configFile, configText(story));
  const work = async (index: number) => {
    const folder = await tempDir(cleanup);
    // Two of them have the same bytes, under other names.
    const seed = index === 7 ? 6 : index;
    const paths = (["db", "files"] as const).map((kind) => {
      const path = join(folder, `repo${index}.${kind}.tar.gz`);
      writeFileSync(path, buildDatabase({ kind, packages: 2, compression: "gzip", seed }));
      return path;
    });
    const ended = await run(resolve("bin/signer-client"), ["--config", configFile, "sign", ...paths]);
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    for (const path of paths)
      expect(await gpg.verify(await readFile(`${path}.sig`), await readFile(path)), path).toMatchObject({
        good: true,
      });
  };
  await Promise.all(Array.from({ length: 8 }, (_, index) => work(index)));
  await enclave.stop();
  expect(enclave.complaints).toEqual([]);
  expect(enclave.answered).toHaveLength(16);
  expect(new Set(enclave.answered.map(({ seq }) => seq)).size).toBe(16);
  expect(story.folder.left()).toEqual({ outbox: [], inbox: [], requests: [] });
  expect(story.folder.notification()?.requests).toEqual([]);
});
