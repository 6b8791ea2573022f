import { createHash } from "node:crypto";
import { afterAll, expect, test } from "vitest";
import { makeHost } from "../sign/fixture.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";

// Signing services that are shown a digest sign whatever it stands for, a key certification included.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

test("a digest is no artefact, in binary, as text, or with what an OpenPGP signature hashes behind it", async () => {
  const host = await makeHost(cleanup);
  const digest = createHash("sha512")
    .update(buildDatabase({ packages: 1, kind: "db" }))
    .digest();
  const certification = Buffer.concat([
    Buffer.of(0x99, 0, 51, 4),
    Buffer.alloc(50, 1),
    Buffer.of(0xb4, 0, 0, 0, 1, 65),
  ]);
  const tail = Buffer.of(4, 0x10, 22, 10, 0, 0, 4, 0xff, 0, 0, 0, 6);
  for (const bytes of [
    digest,
    digest.toString("hex"),
    digest.toString("base64"),
    Buffer.concat([certification, tail]),
  ])
    for (const name of ["core.db.tar.gz", undefined])
      expect(await host.outcome(name, Buffer.from(bytes))).toBe("not-recognised");
});
