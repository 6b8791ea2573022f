import { expect, test } from "vitest";
import { withPatience } from "../../src/client/patience.ts";
import { Fault, refusal } from "../../src/outcome.ts";

/** Does `outcomes` one after the other: how it ended, and the pauses in ms. */
async function attempt(outcomes: readonly unknown[], waitMs = 0) {
  let time = Date.parse("2026-11-24T00:00:00Z");
  const pauses: number[] = [];
  const clock = {
    now: () => time,
    pause: async (ms: number) => {
      pauses.push(ms);
      time += ms;
    },
  };
  const left = [...outcomes];
  const work = async () => {
    const next = left.shift();
    if (next instanceof Error) throw next;
    return next as string;
  };
  const result = await withPatience(work, { waitMs }, clock).catch((error: Fault) => error.code);
  return { result, pauses };
}

const lost = () => new Fault("host-unreachable", "lost");
const limit = refusal("over-limit", "10 per hour; the next is possible at 2026-11-24T00:02:00.000Z");

test("a lost connection is tried again three times, with longer and longer pauses", async () => {
  expect(await attempt([lost(), lost(), lost(), "signed"])).toEqual({
    result: "signed",
    pauses: [1000, 2000, 4000],
  });
  expect(await attempt([lost(), lost(), lost(), lost(), "never"])).toMatchObject({
    result: "host-unreachable",
  });
});

test("a refusal, and a signature that is not good, are final", async () => {
  const refused = refusal("not-permitted", "no");
  expect(await attempt([refused, "never"], 60_000)).toEqual({ result: refused, pauses: [] });
  const bad = new Fault("signing-failed", "not good");
  expect(await attempt([bad, "never"], 60_000)).toEqual({ result: "signing-failed", pauses: [] });
});

test("a limit is waited for only where it is free again in time", async () => {
  expect(await attempt([limit, "signed"])).toEqual({ result: limit, pauses: [] });
  expect(await attempt([limit, "signed"], 60_000)).toEqual({ result: limit, pauses: [] });
  expect(await attempt([limit, "signed"], 180_000)).toEqual({ result: "signed", pauses: [121_000] });
});

test("a busy host is waited for with --wait alone", async () => {
  const busy = () => new Fault("busy", "busy");
  expect(await attempt([busy(), "signed"])).toEqual({ result: "busy", pauses: [] });
  expect(await attempt([busy(), busy(), "signed"], 10_000)).toMatchObject({ result: "signed" });
});
