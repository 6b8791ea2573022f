import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { ArtefactFacts, Expectation } from "../../src/artefact/artefact.ts";
import { startImage } from "../../src/artefact/iso9660.ts";
import { isRefusal, type Refusal } from "../../src/outcome.ts";
import { IMAGE_VARIANTS, type ImageVariant, makeImage } from "../support/image.ts";

const SECTOR = 2048;
const [PRIMARY, BOOT, JOLIET, TERMINATOR] = [16, 17, 18, 19].map((sector) => sector * SECTOR) as [
  number,
  number,
  number,
  number,
];
const NAME = "archlinux-2026.11.01-x86_64.iso";

const images = {} as Record<ImageVariant, Buffer>;
beforeAll(async () => {
  for (const variant of Object.keys(IMAGE_VARIANTS) as ImageVariant[])
    images[variant] = await makeImage(variant);
});

/** With MBR, GPT, boot record, catalogue, Joliet: everything that is looked at. */
const good = () => Buffer.from(images["archiso-efi"]);

function expectation(over: Partial<Expectation> = {}): Expectation {
  return { name: NAME, types: new Set(["iso"]), maxBytes: 2 ** 31, ...over };
}

async function recognise(
  chunks: Iterable<Uint8Array>,
  expected = expectation(),
): Promise<ArtefactFacts | Refusal> {
  const recogniser = startImage(expected);
  try {
    for (const chunk of chunks) {
      const refused = await recogniser.push(chunk);
      if (refused) return refused;
    }
    return await recogniser.finish();
  } finally {
    recogniser.close();
  }
}

async function codeOf(bytes: Uint8Array, expected = expectation()): Promise<string> {
  const outcome = await recognise([bytes], expected);
  return isRefusal(outcome) ? outcome.code : "accepted";
}

function* pieces(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}

describe("images of the real xorriso", () => {
  const accepted = Object.keys(IMAGE_VARIANTS).filter((variant) => variant !== "partition-outside-volume");

  test.each(accepted as ImageVariant[])("%s is recognised, and its facts are read", async (variant) => {
    expect(await recognise([images[variant]])).toEqual({
      kind: "image",
      type: "iso",
      volumeId: "ARCH_202611",
      publisher: "ARCH LINUX <HTTPS://ARCHLINUX.ORG>",
      application: "ARCH LINUX LIVE/RESCUE DVD",
      createdAt: "2026-11-01T12:00:00.000Z",
      volumeBytes: images[variant].length,
      bootable: /el-torito|hybrid|archiso/.test(variant),
    });
  });

  test.each(accepted as ImageVariant[])("%s with one byte more is refused", async (variant) => {
    expect(await codeOf(Buffer.concat([images[variant], Buffer.alloc(1)]))).toBe("trailing-data");
  });

  test("an image whose volume ends before its EFI partition is refused, and within 64 KiB", async () => {
    expect(await codeOf(images["partition-outside-volume"].subarray(0, 65536))).toBe("bad-image");
  });

  test("an image of any volume identifier without a month is recognised, and one made without a name is", async () => {
    expect(await codeOf(await makeImage("no-pad", { volumeId: "RESCUE" }))).toBe("accepted");
    expect(await codeOf(good(), expectation({ name: undefined }))).toBe("accepted");
    expect(await codeOf(good(), expectation({ name: "rescue.iso" }))).toBe("accepted");
  });
});

describe("the stream", () => {
  test("one byte at a time gives the same facts", async () => {
    const image = images["el-torito"];
    expect(await recognise(pieces(image, 1))).toEqual(await recognise([image]));
  });

  test("any split gives the same outcome as the whole", async () => {
    const bent = [
      good(),
      Buffer.concat([good(), Buffer.alloc(5000)]),
      good().subarray(0, -1),
      good().fill(7, BOOT, BOOT + 1),
    ];
    for (const image of bent) {
      const whole = await recognise([image]);
      for (const size of [511, 512, 2047, 2048, 2049, 4096, 32767, 32768, 65535, 65536, 65537]) {
        expect(await recognise(pieces(image, size))).toEqual(whole);
      }
      const cuts = fc.array(fc.integer({ min: 0, max: image.length }), { maxLength: 20 });
      await fc.assert(
        fc.asyncProperty(cuts, async (at) => {
          const bounds = [0, ...at.toSorted((a, b) => a - b), image.length];
          const chunks = bounds.slice(1).map((end, index) => image.subarray(bounds[index], end));
          expect(await recognise(chunks)).toEqual(whole);
        }),
        { numRuns: 50 },
      );
    }
  });

  test("an empty stream is called empty", async () => {
    expect(await codeOf(Buffer.alloc(0))).toBe("empty-input");
  });

  test("an image cut anywhere in its first descriptor, or at any sector, is truncated", async () => {
    const image = good();
    const cuts = Array.from({ length: SECTOR + 1 }, (_, index) => PRIMARY + index);
    for (let end = SECTOR; end < image.length; end += SECTOR) cuts.push(end - 1, end, end + 1);
    cuts.push(1, 511, 512, 1024, image.length - 1);
    for (const end of cuts) expect(await codeOf(image.subarray(0, end)), `${end} bytes`).toBe("truncated");
  });

  test("endless zeros are refused after 34 KiB", async () => {
    const recogniser = startImage(expectation());
    const zeros = Buffer.alloc(1024);
    let received = 0;
    let refused: Refusal | undefined;
    while (refused === undefined) {
      refused = await recogniser.push(zeros);
      received += zeros.length;
      expect(received).toBeLessThanOrEqual(65536);
    }
    expect(refused.code).toBe("not-recognised");
    expect(await recogniser.finish()).toEqual(refused);
  });

  test("what the size says is refused before the image has been sent", async () => {
    const start = good().subarray(0, 65536);
    const { length } = images["archiso-efi"];
    expect(await codeOf(start, expectation({ maxBytes: length - 1 }))).toBe("too-large");
    expect(await codeOf(good(), expectation({ maxBytes: length }))).toBe("accepted");
  });

  test("bytes after the end are refused with the chunk that brings them, also after the whole image", async () => {
    const recogniser = startImage(expectation());
    expect(await recogniser.push(good())).toBeUndefined();
    expect(await recogniser.push(Buffer.alloc(0))).toBeUndefined();
    expect(await recogniser.push(Buffer.alloc(1))).toMatchObject({ code: "trailing-data" });
    expect(await recogniser.finish()).toMatchObject({ code: "trailing-data" });
  });
});

describe("what the image is expected to be", () => {
  test.each(["core.db.tar.gz", "core.files", "image.img", "iso"])(
    "an image called %s is of the wrong type",
    async (name) => {
      expect(await codeOf(good(), expectation({ name, types: new Set(["db", "files", "iso"]) }))).toBe(
        "wrong-type",
      );
    },
  );

  test("an image where only databases are allowed is of the wrong type, with a name or without", async () => {
    for (const name of [NAME, undefined]) {
      expect(await codeOf(good(), expectation({ name, types: new Set(["db", "files"]) }))).toBe("wrong-type");
    }
  });

  test("bytes that are no image are not recognised, whatever their name", async () => {
    const noise = Buffer.alloc(65536, "no image ");
    for (const name of [NAME, "core.db.tar.gz", undefined]) {
      expect(await codeOf(noise, expectation({ name }))).toBe("not-recognised");
    }
  });

  test.each([
    ["ARCH_202611", "archlinux-2026.11.30-x86_64.iso", "accepted"],
    ["OTHER_DISTRIBUTION_202611", NAME, "accepted"],
    ["_202611", NAME, "accepted"],
    ["ARCH", NAME, "accepted"],
    ["ARCH_2026111", NAME, "accepted"],
    ["ARCH_202611_X", NAME, "accepted"],
    ["ARCH_202610", NAME, "name-mismatch"],
    ["ARCH_202511", NAME, "name-mismatch"],
    ["ARCH_202613", NAME, "name-mismatch"],
    ["ARCH_201611", NAME, "name-mismatch"],
    ["ARCH_202611", "archlinux-2026.12.01-x86_64.iso", "name-mismatch"],
    ["ARCH_202611", "archlinux-0202.11.01-x86_64.iso", "name-mismatch"],
    ["ARCH_020203", "archlinux-0202.03.01-x86_64.iso", "accepted"],
  ])("volume %s and name %s: %s", async (volumeId, name, code) => {
    const image = good();
    image.write(volumeId.padEnd(32), PRIMARY + 40, "latin1");
    expect(await codeOf(image, expectation({ name }))).toBe(code);
    expect(await codeOf(image.subarray(0, 65536), expectation({ name }))).toBe(
      code === "accepted" ? "truncated" : code,
    );
  });
});

/** Both byte orders of a 32-bit number. */
function pair32(image: Buffer, at: number, value: number): void {
  image.writeUInt32LE(value, at);
  image.writeUInt32BE(value, at + 4);
}

/** Both byte orders of a 16-bit number. */
function pair16(image: Buffer, at: number, value: number): void {
  image.writeUInt16LE(value, at);
  image.writeUInt16BE(value, at + 2);
}

/** Changes the boot catalogue's validation entry and makes its checksum right again. */
function validation(image: Buffer, change: (entry: Buffer) => void): void {
  const entry = image.subarray(image.readUInt32LE(BOOT + 71) * SECTOR).subarray(0, 32);
  change(entry);
  entry.writeUInt16LE(0, 28);
  let sum = 0;
  for (let at = 0; at < 32; at += 2) sum += entry.readUInt16LE(at);
  entry.writeUInt16LE((0x10000 - (sum % 0x10000)) % 0x10000, 28);
}

const catalogue = (image: Buffer) =>
  image.subarray(image.readUInt32LE(BOOT + 71) * SECTOR).subarray(0, SECTOR);
const sectors = (image: Buffer) => image.length / SECTOR;
const blocks = (image: Buffer) => BigInt(image.length / 512);

type Bend = (image: Buffer) => unknown;

describe("malformed images", () => {
  test.each<[what: string, code: string, bend: Bend]>([
    ["no CD001", "not-recognised", (image) => image.write("CD002", PRIMARY + 1)],
    ["another descriptor before the primary one", "bad-image", (image) => image.writeUInt8(2, PRIMARY)],
    ["descriptor version 2", "bad-image", (image) => image.writeUInt8(2, PRIMARY + 6)],
    [
      "a size one sector too large",
      "truncated",
      (image) => {
        pair32(image, PRIMARY + 80, sectors(image) + 1);
        image.fill(0, 512, 1024);
      },
    ],
    [
      "a size one sector too small",
      "trailing-data",
      (image) => {
        pair32(image, PRIMARY + 80, sectors(image) - 1);
        image.fill(0, 512, 1024);
      },
    ],
    [
      "a size that differs from where the GPT ends",
      "bad-image",
      (image) => pair32(image, PRIMARY + 80, sectors(image) - 1),
    ],
    ["the largest size", "too-large", (image) => pair32(image, PRIMARY + 80, 0xffffffff)],
    ["a size of nothing", "bad-image", (image) => pair32(image, PRIMARY + 80, 0)],
    ["a size that ends within the descriptors", "bad-image", (image) => pair32(image, PRIMARY + 80, 18)],
    [
      "a size that differs in big-endian",
      "bad-image",
      (image) => image.writeUInt32BE(sectors(image) - 1, PRIMARY + 84),
    ],
    ["two volumes in the set", "bad-image", (image) => pair16(image, PRIMARY + 120, 2)],
    ["the second volume of a set", "bad-image", (image) => pair16(image, PRIMARY + 124, 2)],
    ["blocks of 512 bytes", "bad-image", (image) => pair16(image, PRIMARY + 128, 512)],
    ["blocks of 4096 bytes", "bad-image", (image) => pair16(image, PRIMARY + 128, 4096)],
    ["a path table of 9 bytes", "bad-image", (image) => pair32(image, PRIMARY + 132, 9)],
    [
      "a path table longer than the image",
      "bad-image",
      (image) => pair32(image, PRIMARY + 132, image.length),
    ],
    [
      "a little-endian path table at the end",
      "bad-image",
      (image) => image.writeUInt32LE(sectors(image), PRIMARY + 140),
    ],
    [
      "a little-endian path table in a descriptor",
      "bad-image",
      (image) => image.writeUInt32LE(17, PRIMARY + 140),
    ],
    [
      "a big-endian path table at the end",
      "bad-image",
      (image) => image.writeUInt32BE(sectors(image), PRIMARY + 148),
    ],
    [
      "a big-endian path table in a descriptor",
      "bad-image",
      (image) => image.writeUInt32BE(17, PRIMARY + 148),
    ],
    ["no little-endian path table", "bad-image", (image) => image.writeUInt32LE(0, PRIMARY + 140)],
    ["no big-endian path table", "bad-image", (image) => image.writeUInt32BE(0, PRIMARY + 148)],
    [
      "a second little-endian path table outside",
      "bad-image",
      (image) => image.writeUInt32LE(sectors(image), PRIMARY + 144),
    ],
    [
      "a second big-endian path table outside",
      "bad-image",
      (image) => image.writeUInt32BE(sectors(image), PRIMARY + 152),
    ],
    ["a root directory outside", "bad-image", (image) => pair32(image, PRIMARY + 158, sectors(image))],
    ["a root directory that is too long", "bad-image", (image) => pair32(image, PRIMARY + 166, image.length)],
    ["a root directory of half a sector", "bad-image", (image) => pair32(image, PRIMARY + 166, 1024)],
    ["a root directory of nothing", "bad-image", (image) => pair32(image, PRIMARY + 166, 0)],
    ["a root that is a file", "bad-image", (image) => image.writeUInt8(0, PRIMARY + 181)],
    ["file structure version 2", "bad-image", (image) => image.writeUInt8(2, PRIMARY + 881)],
    [
      "an escape sequence as volume identifier",
      "bad-image",
      (image) => image.write("\x1b[31m", PRIMARY + 40, "latin1"),
    ],
    ["a line break as system identifier", "bad-image", (image) => image.write("\n", PRIMARY + 8, "latin1")],
    ["a line break as set identifier", "bad-image", (image) => image.write("\n", PRIMARY + 190, "latin1")],
    ["a line break as publisher", "bad-image", (image) => image.write("\n", PRIMARY + 318, "latin1")],
    ["UTF-8 as application", "bad-image", (image) => image.write("é", PRIMARY + 574, "utf8")],
    ["DEL at the end of the application", "bad-image", (image) => image.writeUInt8(0x7f, PRIMARY + 701)],

    ["no terminator", "bad-image", (image) => image.fill(0, TERMINATOR, TERMINATOR + SECTOR)],
    [
      "Joliet again and again",
      "bad-image",
      (image) => {
        for (let sector = 17; sector < 64; sector += 1)
          image.copy(image, sector * SECTOR, JOLIET, JOLIET + SECTOR);
      },
    ],
    ["something in the terminator", "bad-image", (image) => image.writeUInt8(1, TERMINATOR + 2047)],
    [
      "a second primary descriptor",
      "bad-image",
      (image) => image.copy(image, JOLIET, PRIMARY, PRIMARY + SECTOR),
    ],
    ["a second boot record", "bad-image", (image) => image.copy(image, JOLIET, BOOT, BOOT + SECTOR)],
    ["a partition descriptor", "bad-image", (image) => image.writeUInt8(3, JOLIET)],
    ["no CD001 in a later descriptor", "bad-image", (image) => image.write("X", JOLIET + 1)],
    ["a Joliet descriptor of version 3", "bad-image", (image) => image.writeUInt8(3, JOLIET + 6)],
    [
      "a Joliet volume that is larger",
      "bad-image",
      (image) => pair32(image, JOLIET + 80, sectors(image) + 1),
    ],

    ["another boot system", "bad-image", (image) => image.write("FL TORITO", BOOT + 7)],
    ["a longer name of the boot system", "bad-image", (image) => image.write("S", BOOT + 30)],
    ["a boot catalogue at the end", "bad-image", (image) => image.writeUInt32LE(sectors(image), BOOT + 71)],
    ["a boot catalogue in the terminator", "bad-image", (image) => image.writeUInt32LE(19, BOOT + 71)],
    ["a boot catalogue in the system area", "bad-image", (image) => image.writeUInt32LE(0, BOOT + 71)],
    ["a boot catalogue of zeros", "bad-image", (image) => catalogue(image).fill(0)],
    ["a wrong checksum in the boot catalogue", "bad-image", (image) => catalogue(image).writeUInt8(1, 28)],
    [
      "no 55 AA in the boot catalogue",
      "bad-image",
      (image) => validation(image, (entry) => entry.writeUInt16LE(0, 30)),
    ],
    [
      "AA 55 in the boot catalogue",
      "bad-image",
      (image) => validation(image, (entry) => entry.writeUInt16LE(0x55aa, 30)),
    ],
    [
      "no 55 in the boot catalogue",
      "bad-image",
      (image) => validation(image, (entry) => entry.writeUInt8(0x54, 30)),
    ],
    [
      "no AA in the boot catalogue",
      "bad-image",
      (image) => validation(image, (entry) => entry.writeUInt8(0xab, 31)),
    ],
    ["no validation entry", "bad-image", (image) => validation(image, (entry) => entry.writeUInt8(2, 0))],
    ["an unknown platform", "bad-image", (image) => validation(image, (entry) => entry.writeUInt8(3, 1))],
    [
      "a reserved byte in the validation entry",
      "bad-image",
      (image) => validation(image, (entry) => entry.writeUInt8(1, 2)),
    ],
    [
      "another reserved byte in it",
      "bad-image",
      (image) => validation(image, (entry) => entry.writeUInt8(1, 3)),
    ],
    ["an unknown boot indicator", "bad-image", (image) => catalogue(image).writeUInt8(0x89, 32)],
    ["an unknown boot medium", "bad-image", (image) => catalogue(image).writeUInt8(5, 33)],
    ["a reserved byte in the default entry", "bad-image", (image) => catalogue(image).writeUInt8(1, 37)],
    ["a boot image at the end", "bad-image", (image) => catalogue(image).writeUInt32LE(sectors(image), 40)],
    ["a boot image nowhere", "bad-image", (image) => catalogue(image).writeUInt32LE(0, 40)],

    ["a GPT without an MBR", "bad-image", (image) => image.writeUInt8(0, 510)],
    ["a GPT with half an MBR", "bad-image", (image) => image.writeUInt8(0, 511)],
    ["a GPT that is elsewhere", "bad-image", (image) => image.writeBigUInt64LE(2n, 512 + 24)],
    ["a GPT that ends earlier", "bad-image", (image) => image.writeBigUInt64LE(blocks(image) - 2n, 512 + 32)],
    ["a GPT that ends later", "bad-image", (image) => image.writeBigUInt64LE(blocks(image), 512 + 32)],
    ["a GPT without its backup", "bad-image", (image) => image.fill(0, image.length - 512)],
    [
      "a backup that is elsewhere",
      "bad-image",
      (image) => image.writeBigUInt64LE(1n, image.length - 512 + 24),
    ],
    ["a backup of another GPT", "bad-image", (image) => image.writeBigUInt64LE(2n, image.length - 512 + 32)],
  ])("%s: %s", async (_what, code, bend) => {
    const image = good();
    bend(image);
    expect(await codeOf(image)).toBe(code);
    expect(await codeOf(image, expectation({ name: undefined }))).toBe(code);
  });

  test.each<[what: string, bend: Bend]>([
    ["a boot catalogue for x86", (image) => validation(image, (entry) => entry.writeUInt8(0, 1))],
    ["a boot catalogue for PowerPC", (image) => validation(image, (entry) => entry.writeUInt8(1, 1))],
    ["a boot catalogue for Mac", (image) => validation(image, (entry) => entry.writeUInt8(2, 1))],
    [
      "a boot catalogue that says who made it",
      (image) => validation(image, (entry) => entry.fill("x", 4, 28)),
    ],
    ["a boot image of hard disk emulation", (image) => catalogue(image).writeUInt8(4, 33)],
    ["a boot image in the last sector", (image) => catalogue(image).writeUInt32LE(sectors(image) - 1, 40)],
    ["a path table of the root directory alone", (image) => pair32(image, PRIMARY + 132, 10)],
    ["no second path tables", (image) => image.fill(0, PRIMARY + 144, PRIMARY + 148)],
    [
      "second path tables",
      (image) => {
        image.writeUInt32LE(image.readUInt32LE(PRIMARY + 140), PRIMARY + 144);
        image.writeUInt32BE(image.readUInt32BE(PRIMARY + 148), PRIMARY + 152);
      },
    ],
    ["a path table in the last sector", (image) => image.writeUInt32LE(sectors(image) - 1, PRIMARY + 140)],
    ["a path table right behind a terminator", (image) => image.writeUInt32LE(18, PRIMARY + 140)],
    ["an enhanced volume descriptor", (image) => image.writeUInt8(2, JOLIET + 6)],
    ["a Joliet volume of the same size", (image) => pair32(image, JOLIET + 80, sectors(image))],
    ["the longest identifiers", (image) => image.fill("~", PRIMARY + 190, PRIMARY + 702)],
    ["no MBR and no GPT", (image) => image.fill(0, 0, 1024)],
    ["an MBR and no GPT, whatever the last block says", (image) => image.fill(0, 512, 1024)],
  ])("not malformed: %s", async (_what, bend) => {
    const image = good();
    bend(image);
    expect(await codeOf(image)).toBe("accepted");
  });

  test("a default entry that is not bootable makes an image that is not", async () => {
    const image = good();
    catalogue(image).writeUInt8(0, 32);
    expect(await recognise([image])).toMatchObject({ bootable: false });
  });

  test("facts end where their fields end", async () => {
    const image = good();
    image
      .fill("~", PRIMARY + 8, PRIMARY + 72)
      .fill("~", PRIMARY + 190, PRIMARY + 702)
      .fill(0xff, PRIMARY + 702, PRIMARY + 813);
    const publisher = "~".repeat(128);
    expect(await recognise([image])).toMatchObject({
      volumeId: "~".repeat(32),
      publisher,
      application: publisher,
    });
  });

  test("the terminator may be the last sector of the first 64 KiB", async () => {
    const image = good();
    for (let sector = 19; sector < 31; sector += 1)
      image.copy(image, sector * SECTOR, JOLIET, JOLIET + SECTOR);
    images["archiso-efi"].copy(image, 31 * SECTOR, TERMINATOR, TERMINATOR + SECTOR);
    expect(await codeOf(image)).toBe("accepted");
    image.copy(image, 32 * SECTOR, 31 * SECTOR, 32 * SECTOR);
    image.copy(image, 31 * SECTOR, JOLIET, JOLIET + SECTOR);
    expect(await codeOf(image.subarray(0, 65536))).toBe("bad-image");
  });

  test("a boot catalogue in the terminator is refused as soon as the terminator is there", async () => {
    const image = good();
    image.writeUInt32LE(TERMINATOR / SECTOR, BOOT + 71);
    expect(await recognise(pieces(image.subarray(0, TERMINATOR + SECTOR), SECTOR))).toMatchObject({
      code: "bad-image",
    });
  });

  test("the boot catalogue may be the image's last sector, and not a descriptor's", async () => {
    const image = Buffer.from(images["el-torito"]);
    const last = sectors(image) - 1;
    catalogue(image).copy(image, last * SECTOR);
    image.writeUInt32LE(last, BOOT + 71);
    expect(await recognise([image])).toMatchObject({ bootable: true });
    expect(await recognise(pieces(image, 1))).toMatchObject({ bootable: true });
    image.writeUInt8(2, last * SECTOR);
    expect(await codeOf(image)).toBe("bad-image");
  });

  test("the smallest volume is its descriptors and one sector", async () => {
    const image = Buffer.from(images["no-pad"].subarray(0, 19 * SECTOR));
    images["no-pad"].copy(image, 17 * SECTOR, 18 * SECTOR, 19 * SECTOR); // no Joliet, the terminator in sector 17
    pair32(image, PRIMARY + 80, 19);
    for (const at of [140, 158]) image.writeUInt32LE(18, PRIMARY + at);
    for (const at of [148, 162]) image.writeUInt32BE(18, PRIMARY + at);
    expect(await codeOf(image)).toBe("accepted");
    image.copy(image, 18 * SECTOR, 17 * SECTOR, 18 * SECTOR);
    image.copy(image, 17 * SECTOR, 16 * SECTOR, 17 * SECTOR);
    image.writeUInt8(2, 17 * SECTOR); // a supplementary descriptor, so that the terminator is the last sector
    expect(await codeOf(image)).toBe("bad-image");
  });

  test.each([
    ["0000000000000000", 0, undefined],
    ["2026110112000000", 0, "2026-11-01T12:00:00.000Z"],
    ["2026110112000099", 4, "2026-11-01T11:00:00.990Z"],
    ["2026123123595999", -48, "2027-01-01T11:59:59.990Z"],
    ["2026110100000000", 52, "2026-10-31T11:00:00.000Z"],
    ["2028022900000000", 0, "2028-02-29T00:00:00.000Z"],
    ["0001010100000000", 0, "0001-01-01T00:00:00.000Z"],
    ["9999123123595900", 0, "9999-12-31T23:59:59.000Z"],
  ])("created %s with an offset of %i quarters is %s", async (digits, quarters, createdAt) => {
    const image = good();
    image.write(digits, PRIMARY + 813, "latin1");
    image.writeInt8(quarters, PRIMARY + 829);
    expect(await recognise([image])).toMatchObject({ kind: "image", createdAt });
  });

  test.each([
    ["0000000000000000", 1],
    ["0000110112000000", 0],
    ["2026130112000000", 0],
    ["2026000112000000", 0],
    ["2026110012000000", 0],
    ["2026113112000000", 0],
    ["2026022912000000", 0],
    ["2026110124000000", 0],
    ["2026110123600000", 0],
    ["2026110123006000", 0],
    ["2026110112000000", 53],
    ["2026110112000000", -49],
    ["0001010100000000", 1],
    ["9999123123595900", -1],
    ["2026-11-01 12:00", 0],
    ["202611011200000 ", 0],
    [" ".repeat(16), 0],
    ["\0".repeat(16), 0],
  ])("created %j with an offset of %i quarters is malformed", async (digits, quarters) => {
    const image = good();
    image.write(digits, PRIMARY + 813, "latin1");
    image.writeInt8(quarters, PRIMARY + 829);
    expect(await codeOf(image)).toBe("bad-image");
  });
});

/** Bytes of a descriptor that may be anything, or anything within a grammar; all others must be what they are. */
const FREE: Readonly<Record<number, readonly (readonly [from: number, to: number])[]>> = {
  // identifiers, path tables' places, root directory's date, files' names, dates, application use
  [PRIMARY]: [
    [8, 72],
    [140, 156],
    [174, 181],
    [190, 881],
    [883, 1395],
  ],
  [BOOT]: [],
  // flags, identifiers, volume sizes, escape sequences, then as above
  [JOLIET]: [
    [7, 72],
    [88, 120],
    [140, 156],
    [174, 181],
    [190, 881],
    [883, 1395],
  ],
  [TERMINATOR]: [],
};

test("no flipped bit of any descriptor passes where it is said to matter", async () => {
  const image = images["el-torito"];
  for (const [descriptor, free] of Object.entries(FREE)) {
    for (let at = 0; at < SECTOR; at += 1) {
      if (free.some(([from, to]) => at >= from && at < to)) continue;
      const position = Number(descriptor) + at;
      for (const flip of [0x01, 0x80]) {
        image[position] = (image[position] ?? 0) ^ flip;
        expect(await codeOf(image), `byte ${at} of the descriptor at ${descriptor}`).toMatch(/^(?!accepted)/);
        image[position] = (image[position] ?? 0) ^ flip;
      }
    }
  }
});

test("no bytes in place of the first 64 KiB make it fail other than with a refusal", async () => {
  const image = good();
  const patch = fc.record({
    at: fc.integer({ min: 0, max: 65535 }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(patch, { maxLength: 4 }), async (patches) => {
      const bent = Buffer.from(image);
      for (const { at, bytes } of patches) bent.set(bytes, at);
      const outcome = await recognise([bent]);
      if (!isRefusal(outcome)) expect(outcome).toMatchObject({ kind: "image", volumeBytes: image.length });
    }),
    { numRuns: 500 },
  );
});
