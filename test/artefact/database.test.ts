import { readdirSync, readFileSync } from "node:fs";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isRefusal } from "../../src/outcome.ts";
import { buildDatabase, samplePackage } from "../support/database-fixture.ts";
import { codeOf, factsOf, outcomeOf, pieces } from "./recognition.ts";

const GOOD = new URL("../vectors/database/good/", import.meta.url);
const vector = (name: string) => readFileSync(new URL(name, GOOD));

const SAMPLE = {
  name: "sample",
  version: "2:1.2.3-1",
  sha256: "10d1f1e42f6363a5fef1d79aa1eec3732c5fe5c56f23a37c82552dab6c61ae3e",
};

describe("databases of the real repo-add and bsdtar", () => {
  test.each(readdirSync(GOOD))("%s is recognised under its own name", async (name) => {
    const facts = await factsOf(vector(name), { name });
    expect(facts.type).toBe(name.includes(".files.") ? "files" : "db");
    expect(facts.compression).toBe(name.endsWith(".gz") ? "gzip" : "zstd");
  });

  test("facts are names, versions, checksums, the newest build date and the expanded size", async () => {
    const facts = await factsOf(vector("repo-add.files.tar.gz"));
    expect(facts).toMatchObject({
      kind: "database",
      type: "files",
      compression: "gzip",
      expandedBytes: 10240,
    });
    expect(facts.newestBuildDate).toBe(1_790_000_000);
    expect(facts.packages.map(({ name }) => name)).toEqual(["sample", "sample-docs", "sample-meta"]);
    expect(facts.packages[0]).toEqual(SAMPLE);
  });

  test("a db and its files database have the same packages", async () => {
    const [db, files] = [
      await factsOf(vector("repo-add.db.tar.zst")),
      await factsOf(vector("repo-add.files.tar.zst")),
    ];
    expect([db.type, files.type]).toEqual(["db", "files"]);
    expect(db.packages).toEqual(files.packages);
  });

  test("an empty database is of the type that its name says, else unknown", async () => {
    const gzip = vector("repo-add-empty.db.tar.gz");
    const empty = {
      kind: "database",
      compression: "gzip",
      packages: [],
      newestBuildDate: undefined,
      expandedBytes: 10240,
    };
    expect(await factsOf(gzip)).toEqual({ ...empty, type: "unknown" });
    expect(await factsOf(gzip, { name: "core.db.tar.gz" })).toEqual({ ...empty, type: "db" });
    expect(await factsOf(gzip, { name: "core.files" })).toEqual({ ...empty, type: "files" });
    const plain = Buffer.alloc(10240);
    expect(await factsOf(plain)).toEqual({ ...empty, type: "unknown", compression: "none" });
    expect(await factsOf(pieces(plain, 100))).toEqual(await factsOf(plain));
  });
});

describe("however the bytes arrive", () => {
  const kinds = ["none", "gzip", "zstd"] as const;
  const database = (compression: (typeof kinds)[number], packages = 3) =>
    buildDatabase({ packages, kind: "files", filesPerPackage: 40, compression });

  test.each(kinds)("a %s database byte by byte has the same facts as whole", async (compression) => {
    const bytes = database(compression);
    expect(await factsOf(pieces(bytes, 1))).toEqual(await factsOf(bytes));
  });

  test.each(kinds)("a %s database cut in two anywhere has the same facts as whole", async (compression) => {
    const bytes = database(compression);
    const whole = await factsOf(bytes);
    const step = compression === "none" ? 61 : 5;
    for (let cut = 1; cut < bytes.length; cut += step) {
      expect(await factsOf(pieces(bytes, bytes.length, cut))).toEqual(whole);
    }
  });

  test("pieces of any sizes give the same facts", async () => {
    const bytes = database("none", 5);
    const whole = await factsOf(bytes);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 40 }),
        async (sizes) => {
          const parts: Buffer[] = [];
          let at = 0;
          for (const size of sizes) {
            parts.push(bytes.subarray(at, at + size));
            at += size;
          }
          expect(await factsOf([...parts, bytes.subarray(at)])).toEqual(whole);
        },
      ),
      { numRuns: 50 },
    );
  });

  test.each(["gzip", "zstd"] as const)(
    "a large %s database passes through in chunks of 64 KiB and 1 MiB",
    async (compression) => {
      const bytes = buildDatabase({ packages: 600, kind: "files", filesPerPackage: 300, compression });
      const facts = await factsOf(pieces(bytes, 65536));
      expect(facts.packages).toHaveLength(600);
      expect(facts.packages).toEqual(
        [...facts.packages].sort((one, other) => (one.name < other.name ? -1 : 1)),
      );
      const wanted = Array.from({ length: 600 }, (_, index) => samplePackage(index, 300));
      for (const { name, version, fields } of wanted) {
        expect(facts.packages).toContainEqual({ name, version, sha256: fields.get("SHA256SUM")?.[0] });
      }
      expect(await factsOf(pieces(bytes, 1 << 20))).toEqual(facts);
    },
  );

  test("a chunk may be overwritten once its push has resolved", async () => {
    const bytes = database("gzip");
    function* reused() {
      const buffer = Buffer.alloc(100);
      for (let at = 0; at < bytes.length; at += 100) yield buffer.subarray(0, bytes.copy(buffer, 0, at));
    }
    expect(await factsOf(reused())).toEqual(await factsOf(bytes));
  });

  test("closing while a push waits ends it without an answer that could be taken for facts", async () => {
    const { recognise } = await import("../../src/artefact/recognise.ts");
    const recogniser = recognise({ name: undefined, types: new Set(["db"]), maxBytes: 1e9 });
    const pending = recogniser.push(database("gzip"));
    recogniser.close();
    recogniser.close();
    await pending;
    expect(isRefusal(await recogniser.finish())).toBe(true);
  });
});

describe("bent bytes", () => {
  const good = () => buildDatabase({ packages: 2, kind: "files", filesPerPackage: 10, compression: "none" });

  /** Offsets of the headers in an archive that is known to be good. */
  function headers(bytes: Buffer): number[] {
    const offsets: number[] = [];
    for (let at = 0; bytes[at] !== 0; ) {
      offsets.push(at);
      const size = Number.parseInt(bytes.toString("latin1", at + 124, at + 135), 8);
      at += 512 + Math.ceil(size / 512) * 512;
    }
    return offsets;
  }

  test("no header byte can be flipped", async () => {
    const bytes = good();
    const offsets = headers(bytes);
    expect(offsets).toHaveLength(6);
    for (const header of offsets) {
      for (let at = header; at < header + 512; at++) {
        for (const mask of [0x01, 0x20, 0x80, 0xff]) {
          const bent = Buffer.from(bytes);
          bent.writeUInt8((bytes[at] ?? 0) ^ mask, at);
          expect(await codeOf(bent), `byte ${at} ^ ${mask}`).not.toMatch(/accepted/);
        }
      }
    }
  });

  test("no byte of padding or behind the last entry can be flipped", async () => {
    const bytes = good();
    const ends = headers(bytes).map((at) => {
      const size = Number.parseInt(bytes.toString("latin1", at + 124, at + 135), 8);
      return [at + 512 + size, at + 512 + Math.ceil(size / 512) * 512] as const;
    });
    const archiveEnd = [ends.at(-1)?.[1] ?? 0, bytes.length] as const;
    for (const [start, end] of [...ends, archiveEnd]) {
      for (let at = start; at < end; at++) {
        const bent = Buffer.from(bytes);
        bent.writeUInt8(1, at);
        expect(await codeOf(bent), `byte ${at}`).toMatch(/^bad-archive|^trailing-data/);
      }
    }
  });

  test("blocks left out, repeated or moved never give a package that was not there, nor one twice", async () => {
    const bytes = buildDatabase({ packages: 4, kind: "db", compression: "none" });
    const known = (await factsOf(bytes)).packages;
    const blocks = Array.from({ length: bytes.length / 512 }, (_, index) =>
      bytes.subarray(index * 512, index * 512 + 512),
    );
    const index = fc.nat(blocks.length - 1);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("drop", "repeat", "move"),
        index,
        fc.integer({ min: 1, max: 5 }),
        index,
        async (how, from, count, to) => {
          const changed = [...blocks];
          const taken = how === "repeat" ? changed.slice(from, from + count) : changed.splice(from, count);
          if (how !== "drop") changed.splice(to, 0, ...taken);
          const outcome = await outcomeOf([Buffer.concat(changed)]);
          if (isRefusal(outcome) || outcome.kind !== "database") return;
          for (const fact of outcome.packages) expect(known).toContainEqual(fact);
          expect(new Set(outcome.packages.map(({ name }) => name)).size).toBe(outcome.packages.length);
        },
      ),
      { numRuns: 500 },
    );
  });

  // A header's time or window, and a bit of a Huffman table that no symbol uses, can differ and expand to the same.
  test.each([
    ["repo-add.db.tar.gz", gunzipSync],
    ["repo-add.db.tar.zst", zstdDecompressSync],
  ] as const)(
    "a flipped byte of %s is refused unless it expands to the very same archive",
    async (name, expand) => {
      const bytes = vector(name);
      const [whole, archive] = [await factsOf(bytes), expand(bytes)];
      for (let at = 0; at < bytes.length; at++) {
        for (const mask of [0x01, 0xff]) {
          const bent = Buffer.from(bytes);
          bent.writeUInt8((bytes[at] ?? 0) ^ mask, at);
          const outcome = await outcomeOf([bent], { types: ["db"] });
          if (isRefusal(outcome)) continue;
          expect(outcome, `byte ${at} ^ ${mask}`).toEqual(whole);
          expect(expand(bent).equals(archive), `byte ${at} ^ ${mask}`).toBe(true);
        }
      }
    },
  );

  test("time, flags and system of the gzip header may be anything, the rest of it not", async () => {
    const bytes = vector("repo-add.db.tar.gz");
    const whole = await factsOf(bytes);
    for (let at = 0; at < 10; at++) {
      const bent = Buffer.from(bytes);
      bent.writeUInt8((bytes[at] ?? 0) ^ 0xff, at);
      const outcome = await outcomeOf([bent], { types: ["db"] });
      // RFC 1952, 2.3: MTIME, XFL and OS are bytes 4 to 9.
      if (at >= 4) expect(outcome).toEqual(whole);
      else expect(isRefusal(outcome), `byte ${at}`).toBe(true);
    }
  });
});

describe("truncated anywhere", () => {
  /** From so many bytes on the kind shows, and what is missing is missing. */
  test.each([
    ["repo-add.db.tar.gz", 2],
    ["repo-add.db.tar.zst", 4],
    ["repo-add-empty.db.tar.gz", 2],
    ["repo-add-empty.files.tar.zst", 4],
    ["zstd-content-size.files.tar.zst", 4],
  ] as const)("%s is truncated", async (name, shows) => {
    const bytes = vector(name);
    expect(await codeOf(bytes.subarray(0, 0))).toBe("empty-input");
    for (let length = 1; length < bytes.length; length++) {
      const expected = length < shows ? "not-recognised" : "truncated";
      expect(await codeOf(bytes.subarray(0, length)), `${length} bytes`).toBe(expected);
    }
  });

  test("an uncompressed database is truncated", async () => {
    const bytes = buildDatabase({ packages: 2, kind: "db", compression: "none" });
    for (let length = 1; length < bytes.length; length++) {
      const expected = length < 262 ? "not-recognised" : "truncated";
      expect(await codeOf(bytes.subarray(0, length)), `${length} bytes`).toBe(expected);
    }
  });

  test("an empty uncompressed database is not recognised", async () => {
    for (const length of [1, 511, 512, 513, 10239]) {
      expect(await codeOf(Buffer.alloc(length))).toBe("not-recognised");
    }
  });

  test("an archive that ends before its compression does is truncated", async () => {
    const { compress } = await import("../support/database-fixture.ts");
    const bytes = buildDatabase({ packages: 2, kind: "db", compression: "none" });
    for (const length of [512, 700, bytes.length - 10240 + 512, bytes.length - 512, bytes.length - 1]) {
      expect(await codeOf(compress(bytes.subarray(0, length), "gzip"))).toBe("truncated");
      expect(await codeOf(compress(bytes.subarray(0, length), "zstd"))).toBe("truncated");
    }
  });
});
