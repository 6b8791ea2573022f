import { resolve } from "node:path";
import { expect, test } from "vitest";
import { run } from "../support/run.ts";

test("a thread that cannot start, and is not needed any more, does not end the process", async () => {
  const program = `
    import { closeSync, openSync } from "node:fs";
    import { Sha256Beside } from ${JSON.stringify(resolve("src/intake/sha256-beside.ts"))};
    const held = [];
    try { for (;;) held.push(openSync("/dev/null", "r")); } catch {} // no descriptor is left for a thread
    closeSync(held.pop());
    const beside = new Sha256Beside();
    await beside.update(Buffer.alloc(4 * 1024 * 1024 - 1));
    beside.update(Buffer.alloc(1)).catch(() => undefined); // for which it starts one
    beside.close();
    setTimeout(() => console.log("goes on"), 500);`;
  const limited = [
    "-c",
    'ulimit -n 64; exec "$0" "$@"',
    process.execPath,
    "--input-type=module",
    "-e",
    program,
  ];
  const { stdout, stderr } = await run("/bin/sh", limited);
  expect([stdout.toString(), stderr]).toEqual(["goes on\n", ""]);
});
