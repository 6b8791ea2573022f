import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  type Acknowledgement,
  openAcknowledgement,
  readAcknowledgements,
  storeAcknowledgement,
} from "../../src/log/acknowledgements.ts";
import { openCheckpoint, signCheckpoint } from "../../src/log/checkpoint.ts";
import { cosign, cosignedAt, type Witness } from "../../src/log/cosignature.ts";
import { Database } from "../../src/log/database.ts";
import { SCHEMA } from "../../src/log/ledger-schema.ts";
import {
  encodeSignatureLine,
  encodeVerifierKey,
  noteKey,
  parseNoteKey,
  parseSignedNote,
  parseVerifierKey,
} from "../../src/log/signed-note.ts";
import { freshDirectory } from "./fixture.ts";
import { newLogSigner, newWitness } from "./proof/fixture.ts";
import {
  SIGSUM_CHECKPOINT,
  SIGSUM_COSIGNED_AT,
  SIGSUM_LOG,
  SIGSUM_ROOT,
  SIGSUM_SIZE,
  SIGSUM_WITNESS,
} from "./proof/sigsum-vector.ts";

const NOW = new Date("2026-11-23T12:00:00.789Z");
const SECOND = new Date("2026-11-23T12:00:00.000Z");
const log = newLogSigner();
const witness = newWitness();
const noteOf = (size: number) => signCheckpoint({ size, root: Buffer.alloc(32, size) }, log);
const NOTE = noteOf(7);

function timeOf(note: string, by = witness): Date | undefined {
  const parsed = parseSignedNote(note);
  return parsed && cosignedAt(parsed, by.key);
}

/** A signature line in the witness's name over whatever bytes. */
function lineOf(bytes: Uint8Array, { key } = witness): string {
  return encodeSignatureLine({ name: key.name, id: key.id, bytes });
}

/** The bytes of the witness's last line: time and signature. */
function bytesOf(note: string): Buffer {
  return Buffer.from(parseSignedNote(note)?.signatures.at(-1)?.bytes ?? []);
}

describe("a cosignature made elsewhere", () => {
  test("of a public log's checkpoint by a public witness verifies, and says when", () => {
    const parsed = parseSignedNote(SIGSUM_CHECKPOINT);
    expect(parsed && cosignedAt(parsed, SIGSUM_WITNESS)).toEqual(SIGSUM_COSIGNED_AT);
    expect(openCheckpoint(SIGSUM_CHECKPOINT, SIGSUM_LOG)).toEqual({
      origin: SIGSUM_LOG.name,
      size: SIGSUM_SIZE,
      root: SIGSUM_ROOT,
    });
  });

  test("is read as the specification's example shows it: four bytes of key, eight of time, the signature", () => {
    const example = `example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
`;
    const { name, id, bytes } = parseSignedNote(example)?.signatures.at(-1) ?? {};
    expect([name, id?.toString(16), bytes?.length]).toEqual(["witness.example.com/w1", "8d66cf3f", 72]);
    expect(Buffer.from(bytes ?? []).readBigUInt64BE(0)).toBe(1_679_315_147n);
  });

  test("has a key that other tools print: type 4, never a log's", () => {
    const published = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
    const key = parseNoteKey("cosignature", published);
    expect(key && encodeVerifierKey(key)).toBe(published);
    expect(parseVerifierKey(published)).toBeUndefined();
    expect(parseNoteKey("cosignature", encodeVerifierKey(log.verifier))).toBeUndefined();
  });
});

describe("cosigning", () => {
  test("adds one line, leaves what was there, and says the whole second", () => {
    const cosigned = cosign(NOTE, witness, NOW);
    expect(cosigned.startsWith(NOTE)).toBe(true);
    expect(cosigned.slice(NOTE.length)).toMatch(/^\u2014 witness\.example\.net\/w1 [A-Za-z0-9+/=]+\n$/);
    expect(timeOf(cosigned)).toEqual(SECOND);
    expect(openCheckpoint(cosigned, log.verifier)?.size).toBe(7);
  });

  test("by several witnesses counts for each of them alone", () => {
    const other = newWitness("witness.example.org");
    const both = cosign(cosign(NOTE, witness, NOW), other, new Date(0));
    expect([timeOf(both), timeOf(both, other)]).toEqual([SECOND, new Date(0)]);
    expect(timeOf(cosign(NOTE, witness, NOW), other)).toBeUndefined();
  });

  test("covers extension lines", () => {
    const extended = NOTE.replace("\n\n", "\nextension\n\n");
    const cosigned = cosign(extended, witness, NOW);
    expect(timeOf(cosigned)).toEqual(SECOND);
    expect(timeOf(cosigned.replace("\nextension\n", "\nextensioN\n"))).toBeUndefined();
    expect(timeOf(cosigned.replace("\nextension\n", "\n"))).toBeUndefined();
  });

  test("needs a note", () => {
    expect(() => cosign("no note", witness, NOW)).toThrow(TypeError);
  });
});

describe("a cosignature does not count", () => {
  const cosigned = cosign(NOTE, witness, NOW);
  const bytes = bytesOf(cosigned);

  test("with any of its bits changed, the time's included", () => {
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const bent = Buffer.from(bytes);
        bent[bit >> 3] = (bent[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(timeOf(NOTE + lineOf(bent))).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  test("on another checkpoint of the same log", () => {
    expect(timeOf(noteOf(8) + lineOf(bytes))).toBeUndefined();
  });

  test("where it is the witness's plain signature over the text, or a log's key made it", () => {
    const plain = newLogSigner(witness.key.name);
    const asWitness: Witness = {
      key: noteKey("cosignature", plain.verifier.name, plain.verifier.publicKey),
      privateKey: plain.privateKey,
    };
    const signed = signCheckpoint({ size: 7, root: Buffer.alloc(32, 7) }, plain);
    expect(timeOf(signed, asWitness)).toBeUndefined();
    expect(timeOf(NOTE + lineOf(bytesOf(signed), asWitness), asWitness)).toBeUndefined();
  });

  test("by another key of the same name", () => {
    expect(timeOf(cosigned, newWitness())).toBeUndefined();
  });

  test("beside a wrong one in the same name, whichever comes first", () => {
    const wrong = lineOf(Buffer.alloc(72, 7));
    expect(timeOf(cosigned + wrong)).toBeUndefined();
    expect(timeOf(NOTE + wrong + lineOf(bytes))).toBeUndefined();
  });

  test("with a time that no calendar has", () => {
    const far = cosign(NOTE, witness, new Date(253_402_300_799_000));
    expect(timeOf(far)).toEqual(new Date("9999-12-31T23:59:59Z"));
    expect(timeOf(cosign(NOTE, witness, new Date(253_402_300_800_000)))).toBeUndefined();
    expect(timeOf(NOTE + lineOf(Buffer.alloc(72, 0xff)))).toBeUndefined();
  });

  test.each([0, 1, 8, 64, 71, 73])("with %i bytes", (length) => {
    const line = lineOf(Buffer.concat([bytes, Buffer.alloc(8)]).subarray(0, length));
    expect(timeOf(NOTE + line)).toBeUndefined();
  });
});

test("of several cosignatures of one witness the newest time counts, in any order", () => {
  const first = lineOf(bytesOf(cosign(NOTE, witness, new Date(1000))));
  const second = lineOf(bytesOf(cosign(NOTE, witness, new Date(2000))));
  for (const lines of [first + second, second + first, first + second + first])
    expect(timeOf(NOTE + lines)).toEqual(new Date(2000));
});

describe("acknowledgements", () => {
  function freshDatabase(): Database {
    const path = join(freshDirectory(), "log.db");
    const made = new DatabaseSync(path);
    made.exec(SCHEMA);
    made.close();
    const database = new Database(path, { readOnly: false, busyTimeoutMs: 1000 });
    onTestFinished(() => database.close());
    return database;
  }

  function acknowledged(size: number, by = witness, now = NOW): Acknowledgement {
    const found = openAcknowledgement(cosign(noteOf(size), by, now), log.verifier, by.key);
    if (found === undefined) throw new Error("an acknowledgement expected");
    return found;
  }

  const sizes = (database: Database, verifier = log.verifier) =>
    readAcknowledgements(database, verifier).map(({ checkpoint, cosignedAt }) => [
      checkpoint.size,
      cosignedAt.getTime(),
    ]);

  test("open only with the log's signature and the witness's", () => {
    const cosigned = cosign(NOTE, witness, NOW);
    expect(openAcknowledgement(cosigned, log.verifier, witness.key)).toMatchObject({
      checkpoint: { size: 7 },
      cosignedAt: SECOND,
      note: cosigned,
    });
    expect(openAcknowledgement(NOTE, log.verifier, witness.key)).toBeUndefined();
    expect(openAcknowledgement(cosigned, newLogSigner().verifier, witness.key)).toBeUndefined();
    expect(openAcknowledgement(cosigned, log.verifier, newWitness().key)).toBeUndefined();
    expect(openAcknowledgement("", log.verifier, witness.key)).toBeUndefined();
  });

  test("keep the largest head of each witness, and of one head the newest", () => {
    const database = freshDatabase();
    const other = newWitness("witness.example.org");
    storeAcknowledgement(database, acknowledged(5));
    storeAcknowledgement(database, acknowledged(3));
    storeAcknowledgement(database, acknowledged(2, other));
    expect(sizes(database)).toEqual([
      [5, SECOND.getTime()],
      [2, SECOND.getTime()],
    ]);
    storeAcknowledgement(database, acknowledged(5, witness, new Date(1000)));
    storeAcknowledgement(database, acknowledged(8, other));
    expect(sizes(database)).toEqual([
      [5, 1000],
      [8, SECOND.getTime()],
    ]);
  });

  test("that do not verify are not read", () => {
    const database = freshDatabase();
    storeAcknowledgement(database, acknowledged(5));
    expect(sizes(database, newLogSigner().verifier)).toEqual([]);
    const { publicKey } = generateKeyPairSync("ed25519");
    const stranger = noteKey("cosignature", "stranger.example.com", publicKey);
    database.run("UPDATE acknowledgements SET witness = ?", encodeVerifierKey(stranger));
    expect(sizes(database)).toEqual([]);
    database.run("UPDATE acknowledgements SET witness = 'x'");
    expect(sizes(database)).toEqual([]);
  });
});
