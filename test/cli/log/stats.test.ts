import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { gauge, tallyBar } from "../../../src/cli/log/chart.ts";
import { runLogProgram } from "../../../src/cli/log/log-program.ts";
import { Output } from "../../../src/cli/log/output.ts";
import { openAcknowledgement } from "../../../src/log/acknowledgements.ts";
import { cosign } from "../../../src/log/cosignature.ts";
import type { Ledger } from "../../../src/log/ledger.ts";
import { at, DAY, freshDirectory, freshLedger, HOUR, refused, sign, tamper } from "../../log/fixture.ts";
import { newWitness } from "../../log/proof/fixture.ts";
import { configText, rule } from "../../support/signing-host.ts";
import { signerLog } from "./command-line.ts";

/** Three days of a log: signatures on the first, one refusal on the third. */
async function sampleLog(): Promise<{ readonly ledger: Ledger; readonly directory: string }> {
  const made = freshLedger();
  await sign(made.ledger, at(1), { rule: "repos-db" });
  await sign(made.ledger, at(2), { rule: "repos-db" });
  await sign(made.ledger, at(3), { rule: "repos-db", name: "extra.db.tar.gz" });
  await made.ledger.recordRefusal(at(2 * DAY), refused({ code: "trailing-data" }));
  return made;
}

const NOW = at(2 * DAY + HOUR);

const squeezed = (text: string) => text.split("\n").map((line) => line.replace(/ +/g, " ").trim());

function configFile(stateDirectory: string, rules: string): string {
  const file = join(freshDirectory(), "signer.toml");
  writeFileSync(file, configText({ stateDirectory, keyFile: "/nowhere", rules }));
  return file;
}

async function onTerminal(args: readonly string[], columns: number): Promise<string> {
  let text = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  await runLogProgram(args, {
    output: new Output(stream, { columns, colour: true }),
    complain: ({ reason }) => {
      throw new Error(reason);
    },
    now: NOW,
    onProgress: undefined,
  });
  return text;
}

describe("stats", () => {
  test("prints tables per day, type, client and name, a bar for each day, and refusals by code", async () => {
    const { directory } = await sampleLog();
    const { status, text } = await signerLog(["--state", directory, "stats"], NOW);
    expect(status).toBe(0);
    expect(text).toMatch(/^[\x20-\x7e\n]*$/);
    expect(squeezed(text)).toEqual([
      "2026-10-26 13:00 to 2026-11-25 13:00 UTC: 5 entries",
      "3 signed, 0 reissued, 1 refused",
      "",
      "DAY (UTC) SIGNED REISSUED REFUSED # signed, + reissued, x refused",
      expect.stringMatching(/^2026-11-23 3 0 0 #{41}$/),
      "2026-11-24 0 0 0",
      expect.stringMatching(/^2026-11-25 0 0 1 x{14}$/),
      "",
      "TYPE SIGNED REISSUED REFUSED",
      "db 3 0 0",
      "- 0 0 1",
      "",
      "CLIENT SIGNED REISSUED REFUSED",
      "repos 3 0 1",
      "",
      "NAME SIGNED REISSUED REFUSED",
      "core.db.tar.gz 2 0 0",
      "extra.db.tar.gz 1 0 0",
      "- 0 0 1",
      "",
      "REFUSED WITH TIMES",
      "trailing-data 1",
      "",
      expect.stringMatching(/^limits: /),
      "",
      "witnesses: none has acknowledged this log",
      "",
    ]);
  });

  test("counts only the time that is asked for, thirty days without being asked", async () => {
    const { directory } = await sampleLog();
    const counts = async (args: readonly string[], now = NOW) => {
      const { text } = await signerLog(["--state", directory, "stats", "--json", ...args], now);
      const { entries, signed, refused: refusals } = JSON.parse(text);
      return [entries, signed, refusals];
    };
    expect(await counts([])).toEqual([5, 3, 1]);
    expect(await counts(["--since", "2026-11-24"])).toEqual([1, 0, 1]);
    expect(await counts(["--until", "2026-11-24"])).toEqual([4, 3, 0]);
    expect(await counts([], at(31 * DAY))).toEqual([1, 0, 1]);
    expect(await counts([], at(33 * DAY))).toEqual([0, 0, 0]);
  });

  test("says all of it as one JSON document", async () => {
    const { directory } = await sampleLog();
    const { text } = await signerLog(["--state", directory, "stats", "--json"], NOW);
    expect(JSON.parse(text)).toEqual({
      since: "2026-10-26T13:00:00.000Z",
      until: "2026-11-25T13:00:00.000Z",
      entries: 5,
      unreadable: 0,
      signed: 3,
      reissued: 0,
      refused: 1,
      days: [
        { day: "2026-11-23", signed: 3, reissued: 0, refused: 0 },
        { day: "2026-11-25", signed: 0, reissued: 0, refused: 1 },
      ],
      types: [
        { type: "db", signed: 3, reissued: 0, refused: 0 },
        { type: "-", signed: 0, reissued: 0, refused: 1 },
      ],
      clients: [{ client: "repos", signed: 3, reissued: 0, refused: 1 }],
      names: [
        { name: "core.db.tar.gz", signed: 2, reissued: 0, refused: 0 },
        { name: "extra.db.tar.gz", signed: 1, reissued: 0, refused: 0 },
        { name: "-", signed: 0, reissued: 0, refused: 1 },
      ],
      refusals: [{ code: "trailing-data", count: 1 }],
      witnesses: [],
    });
  });

  test("shows the limits of the configuration and how close they are, and those of names that come near", async () => {
    const { directory } = await sampleLog();
    const rules =
      rule({ id: "repos-db", type: "db", limits: ["10 per week"], limits_per_name: ["2 per week"] }) +
      rule({ id: "other", type: "files", limits: ["1 per month"] });
    const { text } = await signerLog(["--config", configFile(directory, rules), "stats"], NOW);
    const lines = squeezed(text);
    expect(lines.slice(lines.indexOf("LIMIT OF RULE FOR NAME ALLOWS NOW"))).toEqual([
      "LIMIT OF RULE FOR NAME ALLOWS NOW",
      "repos-db all 10 per week [###.......] 3 used, 7 left",
      "repos-db core.db.tar.gz 2 per week [##########] 2 used, next at 2026-11-30 12:00",
      "repos-db extra.db.tar.gz 2 per week [#####.....] 1 used, 1 left",
      "other all 1 per month [..........] 0 used, 1 left",
      "",
      expect.stringMatching(/^witnesses: /),
      "",
    ]);
  });

  test("leaves limits out for a copy, and says so", async () => {
    const { directory } = await sampleLog();
    const { text } = await signerLog(["--state", directory, "stats"], NOW);
    expect(text).toContain(
      "limits: in the configuration of the signing host, which is not looked at for a copy",
    );
    expect(JSON.parse((await signerLog(["--state", directory, "stats", "--json"])).text)).not.toHaveProperty(
      "limits",
    );
  });

  test("says how many entries each witness has not acknowledged", async () => {
    const { ledger, directory } = await sampleLog();
    const witness = newWitness();
    const note = cosign(ledger.checkpoint(), witness, at(2 * DAY));
    const acknowledgement = openAcknowledgement(note, ledger.verifier, witness.key);
    if (acknowledgement === undefined) throw new Error("the witness cosigned it");
    await ledger.acknowledge(acknowledgement);
    await sign(ledger, at(2 * DAY + 1));
    await sign(ledger, at(2 * DAY + 2));
    const { text } = await signerLog(["--state", directory, "stats"], NOW);
    expect(squeezed(text)).toContain(`${witness.key.name} 5 2 2026-11-25 12:00`);
  });

  test("counts lines that are none, and prints nothing of them", async () => {
    const { ledger, directory } = await sampleLog();
    ledger.close();
    tamper(
      directory,
      `UPDATE entries SET line = '{"time":"2026-11-23T12:00:00.003Z","name":"\u001b[2J"}' WHERE seq = 2`,
    );
    const { text } = await signerLog(["--state", directory, "stats"], NOW);
    expect(text).toContain("lines that are no entries: 1; see signer-log verify\n");
    expect(text).toMatch(/^[\x20-\x7e\n]*$/);
  });

  test("fits its bars into the terminal", async () => {
    const { directory } = await sampleLog();
    for (const columns of [60, 80, 120]) {
      const text = stripVTControlCharacters(await onTerminal(["--state", directory, "stats"], columns));
      const bars = text.split("\n").filter((line) => line.startsWith("2026-11-") && !line.includes(" to "));
      expect(Math.max(...bars.map((line) => line.length))).toBe(columns);
    }
  });

  test("refuses what it does not know: 64", async () => {
    const { directory } = await sampleLog();
    for (const args of [["--since", "soon"], ["--kind", "signed"], ["extra"]])
      expect((await signerLog(["--state", directory, "stats", ...args])).status).toBe(64);
  });
});

describe("a bar", () => {
  const plain = { columns: undefined, colour: false };

  test("has a mark for all that is there, and never more than its width", () => {
    expect(tallyBar({ signed: 1000, reissued: 1, refused: 1 }, 1002, 10, plain)).toBe("##########");
    expect(tallyBar({ signed: 1, reissued: 1, refused: 1 }, 1000, 10, plain)).toBe("#+x");
    expect(tallyBar({ signed: 5, reissued: 0, refused: 5 }, 10, 10, plain)).toBe("#####xxxxx");
    expect(tallyBar({ signed: 0, reissued: 0, refused: 0 }, 10, 10, plain)).toBe("");
  });
});

describe("a gauge", () => {
  test("is full only where nothing is left, and empty only where nothing is taken", () => {
    expect([gauge(0, 100), gauge(1, 100), gauge(99, 100), gauge(100, 100), gauge(3, 2)]).toEqual([
      "[..........]",
      "[#.........]",
      "[#########.]",
      "[##########]",
      "[##########]",
    ]);
  });
});
