import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import type { SshRemoteLog as SshSource } from "../../../src/config/config.ts";
import { type Journal, NO_JOURNAL } from "../../../src/journal.ts";
import { cosign } from "../../../src/log/cosignature.ts";
import { haltReason } from "../../../src/log/halt.ts";
import type { RecordedSignature } from "../../../src/log/ledger.ts";
import { readLogKey } from "../../../src/log/log-key.ts";
import { CosignedRemoteLog } from "../../../src/log/remote/cosigned-remote-log.ts";
import { LogHost } from "../../../src/log/remote/log-host.ts";
import { noAnswer } from "../../../src/log/remote/remote-log-fault.ts";
import { RemoteLogs } from "../../../src/log/remote/remote-logs.ts";
import { Fault } from "../../../src/outcome.ts";
import { FakeLogHost, forgedCheckpoint } from "../../support/log-host.ts";
import { at, freshLedger, ORIGIN, sign } from "../fixture.ts";

// A service's remote logs: many requests at once, one after the other, for as long as the process lives.

interface Wanted {
  readonly required?: boolean;
  readonly timeoutMs?: number;
  readonly journal?: Journal;
}

/** A log with `count` entries, and a log host for it that may be out of reach. */
async function scene(wanted: Wanted = {}) {
  const { required = true, timeoutMs = 5000, journal = NO_JOURNAL } = wanted;
  const { ledger, directory } = freshLedger();
  const fake = new FakeLogHost(ledger.verifier);
  const place = { isDown: false, attempts: 0, beforeConnecting: async () => {} };
  const source = { name: "loghost", required, timeoutMs, witness: fake.witnessKey } as SshSource;
  const log = new CosignedRemoteLog(source, {
    ledger,
    stateDirectory: directory,
    journal,
    connect: async (signal) => {
      place.attempts += 1;
      await place.beforeConnecting();
      if (place.isDown) throw noAnswer("loghost", "connection refused");
      const connection = fake.connect();
      signal.addEventListener("abort", () => connection.break(signal.reason));
      return await LogHost.over(connection, { ...source, verifier: ledger.verifier });
    },
  });
  const logs = new RemoteLogs([log], journal);
  onTestFinished(() => logs.finish());
  /** So many signatures, recorded and not released yet. */
  const record = async (count: number): Promise<readonly RecordedSignature[]> => {
    const made: RecordedSignature[] = [];
    for (let i = 0; i < count; i++) made.push(await sign(ledger, at(made.length)));
    return made;
  };
  return { ledger, directory, fake, place, log, logs, record };
}

/** How a request for these signatures ended: `released`, or the Fault's code. */
async function ends(works: readonly Promise<unknown>[]): Promise<readonly string[]> {
  return (await Promise.allSettled(works)).map((outcome) => {
    if (outcome.status === "fulfilled") return "released";
    if (outcome.reason instanceof Fault) return outcome.reason.code;
    throw outcome.reason;
  });
}

const all = (count: number, what: string) => Array.from({ length: count }, () => what);

function gate() {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  return { opened, open };
}

const appendsTo = (fake: FakeLogHost) =>
  fake.received.flatMap((message) => (message.kind === "append" ? [[message.from, message.to]] : []));

describe("requests at once", () => {
  test("share one connection, and twenty deliveries need two appends: one under way, and one for all others", async () => {
    const { fake, logs, record } = await scene();
    const recorded = await record(20);
    await Promise.all(recorded.map(() => logs.ready()));
    expect(await ends(recorded.map((one) => logs.release(one)))).toEqual(all(20, "released"));
    expect(fake.connections).toBe(1);
    expect(appendsTo(fake).length).toBeLessThanOrEqual(2);
    expect(fake.entries).toHaveLength(21);
  });

  test("are released as their own entry is acknowledged, not later: who comes meanwhile gets the next append", async () => {
    const { fake, logs, record } = await scene();
    const [first, ...others] = await record(20);
    await logs.ready();
    const answer = gate();
    fake.beforeAnswer = () => answer.opened;
    const early = logs.release(first as RecordedSignature);
    await expect.poll(() => appendsTo(fake)).toEqual([[0, 2]]);
    const late = others.map((one) => logs.release(one));
    answer.open();
    await early;
    expect(await ends(late)).toEqual(all(19, "released"));
    expect(appendsTo(fake)).toEqual([
      [0, 2],
      [2, 21],
    ]);
  });

  test("share one attempt to connect, also where it fails", async () => {
    const { place, logs } = await scene();
    place.isDown = true;
    const connecting = gate();
    place.beforeConnecting = () => connecting.opened;
    const requests = Array.from({ length: 50 }, () => logs.ready());
    await expect.poll(() => place.attempts).toBe(1);
    connecting.open();
    expect(await ends(requests)).toEqual(all(50, "remote-log-unavailable"));
    expect(place.attempts).toBe(1);
  });

  test("one after the other to a log host that is down make no storm of attempts", async () => {
    const { place, logs } = await scene({ timeoutMs: 400 });
    place.isDown = true;
    const begun = performance.now();
    for (let round = 0; round < 8; round++) await ends(Array.from({ length: 20 }, () => logs.ready()));
    // Between failures there is a rest: of 250 ms at first, cut to a quarter of the timeout.
    expect(place.attempts).toBeLessThanOrEqual(1 + (performance.now() - begun) / 100);
    place.isDown = false;
    await logs.ready();
  });

  test("each have their own timeout: one that has waited long enough ends alone, and the others are served", async () => {
    const { fake, log, record } = await scene({ timeoutMs: 2000 });
    await record(300); // two appends
    await log.ready();
    const second = gate();
    fake.beforeAnswer = ({ kind, ...message }) =>
      kind === "append" && "from" in message && message.from > 0 ? second.opened : sleep(1500);
    const backlog = log.catchUp(301); // waits for as long as each answer comes in time
    expect(await ends([log.deliver(301)])).toEqual(["remote-log-unavailable"]);
    second.open();
    expect(await ends([backlog, log.deliver(301)])).toEqual(["released", "released"]);
    expect(fake.connections).toBe(1);
  });

  test("fail together where the append that covers them fails; the next one is served again", async () => {
    const { fake, place, logs, record } = await scene();
    const recorded = await record(20);
    await logs.ready();
    fake.twist = (message) => (message.kind === "cosigned" ? "end" : message);
    expect(await ends(recorded.slice(0, 19).map((one) => logs.release(one)))).toEqual(
      all(19, "remote-log-unavailable"),
    );
    expect(place.attempts).toBeLessThanOrEqual(2);
    fake.twist = (message) => message;
    expect(await ends([logs.release(recorded[19] as RecordedSignature)])).toEqual(["released"]);
    expect(fake.entries).toHaveLength(21);
  });

  test("of an append that fails are those that it was to cover: who came meanwhile gets another", async () => {
    const { fake, logs, record } = await scene();
    const [first, second] = await record(2);
    await logs.ready();
    const answer = gate();
    fake.beforeAnswer = () => answer.opened;
    fake.twist = (message) => (message.kind === "cosigned" ? "end" : message);
    const early = ends([logs.release(first as RecordedSignature)]);
    await expect.poll(() => appendsTo(fake)).toEqual([[0, 2]]);
    const late = ends([logs.release(second as RecordedSignature)]);
    answer.open();
    expect(await early).toEqual(["remote-log-unavailable"]);
    fake.twist = (message) => message;
    expect(await late).toEqual(["released"]);
  });

  test("are all held back by an acknowledgement of another witness, of another log, or of less", async () => {
    const other = await scene();
    await other.record(1);
    await other.log.deliver(2);
    const { ledger, fake, logs, record } = await scene();
    const less = cosign(ledger.checkpoint(), fake.witness, new Date());
    const recorded = await record(5);
    const wrong = [
      less,
      cosign(ledger.checkpoint(), other.fake.witness, new Date()),
      cosign(other.ledger.checkpoint(), fake.witness, new Date()),
      other.fake.note ?? "",
      ledger.checkpoint(),
    ];
    for (const note of wrong) {
      // It holds nothing, whatever it says.
      fake.entries.length = 0;
      fake.note = undefined;
      fake.twist = (message) => {
        fake.entries.length = 0;
        fake.note = undefined;
        return message.kind === "cosigned" ? { kind: "cosigned", note } : message;
      };
      expect(await ends(recorded.map((one) => logs.release(one)))).toEqual(all(5, "remote-log-unavailable"));
    }
  });

  test("end with the log where a contradiction is shown, and nobody is called any more", async () => {
    const { directory, fake, place, logs, log, record } = await scene();
    const recorded = await record(20);
    await logs.ready();
    const forged = cosign(forgedCheckpoint(100, readLogKey(directory, ORIGIN)), fake.witness, new Date());
    const answer = gate();
    fake.beforeAnswer = () => answer.opened;
    fake.twist = (message) => (message.kind === "cosigned" ? { kind: "cosigned", note: forged } : message);
    const early = ends(recorded.slice(0, 10).map((one) => logs.release(one)));
    await expect.poll(() => appendsTo(fake)).toHaveLength(1);
    const late = ends(recorded.slice(10).map((one) => logs.release(one)));
    answer.open();
    expect([...(await early), ...(await late)]).toEqual(all(20, "log-broken"));
    expect(haltReason(directory)).toMatch(/holds 100/);
    expect(await ends([logs.ready(), log.deliver(1), log.catchUp(1)])).toEqual(all(3, "log-broken"));
    log.connect();
    await sleep(0);
    expect(place.attempts).toBe(1);
    expect(logs.state()[0]?.failure?.code).toBe("log-broken");
  });

  test("never speak at once: who asks whether the log host stands waits for the answer that is under way", async () => {
    const { fake, logs, record } = await scene();
    const [one] = await record(1);
    await logs.ready();
    const answer = gate();
    fake.beforeAnswer = () => answer.opened;
    const released = logs.release(one as RecordedSignature);
    await sleep(1100); // longer than what counts as lately
    const ready = Array.from({ length: 5 }, () => logs.ready());
    answer.open();
    expect(await ends([released, ...ready])).toEqual(all(6, "released"));
    expect(fake.connections).toBe(1);
  });
});

describe("a connection", () => {
  test("is one, however many requests come one after the other", async () => {
    const { fake, logs, record } = await scene();
    for (let i = 0; i < 10; i++) {
      await logs.ready();
      const [one] = await record(1);
      await logs.release(one as RecordedSignature);
    }
    expect(fake.connections).toBe(1);
    expect(appendsTo(fake)).toHaveLength(10);
  });

  test("that the log host has ended is noticed before it is relied upon", async () => {
    const { fake, logs, record } = await scene();
    await logs.ready();
    fake.hangUp();
    await expect.poll(() => logs.state()[0]?.connected).toBe(false);
    await logs.ready();
    const [one] = await record(1);
    expect(await ends([logs.release(one as RecordedSignature)])).toEqual(["released"]);
    expect(fake.connections).toBe(2);
  });

  test("that has gone silent is, too: many who come then find a new one", async () => {
    const { fake, logs } = await scene({ timeoutMs: 1500 });
    await logs.ready();
    fake.twist = (message) => (message.kind === "root" ? "silence" : message);
    await sleep(1100); // longer than what counts as lately
    expect(await ends(Array.from({ length: 20 }, () => logs.ready()))).toEqual(all(20, "released"));
    expect(fake.connections).toBe(2);
  });

  test("is not asked for a sign of life where it was heard of a moment ago", async () => {
    const { fake, logs } = await scene();
    for (let i = 0; i < 20; i++) await logs.ready();
    expect(fake.received).toEqual([]);
  });

  test("after a failure comes with a later request, and what was left over goes with it", async () => {
    const { fake, place, logs, log, record } = await scene();
    const [first] = await record(1);
    place.isDown = true;
    expect(await ends([logs.release(first as RecordedSignature)])).toEqual(["remote-log-unavailable"]);
    expect(logs.state()).toMatchObject([
      {
        name: "loghost",
        required: true,
        connected: false,
        entries: 0,
        failure: {
          code: "remote-log-unavailable",
          reason: "the remote log loghost did not answer: connection refused",
        },
      },
    ]);
    place.isDown = false;
    const [second] = await record(1);
    expect(await ends([logs.release(second as RecordedSignature)])).toEqual(["released"]);
    expect(fake.entries).toHaveLength(3);
    expect(log.isConnected).toBe(true);
    expect(logs.state()).toEqual([
      { name: "loghost", required: true, connected: true, entries: 3, failure: undefined },
    ]);
  });
});

describe("a service", () => {
  const PACE = { idleMs: 50, firstRestMs: 20, maxRestMs: 50 };

  test.each([true, false])(
    "(required: %s) catches up without a request: at its start, after an outage, and with what was refused",
    async (required) => {
      const warnings: string[] = [];
      const journal = { ...NO_JOURNAL, warn: (_: unknown, message: string) => void warnings.push(message) };
      const { ledger, fake, place, logs, record } = await scene({ required, journal });
      await record(3);
      logs.follow(() => ledger.queries.newest().seq + 1, PACE);
      await expect.poll(() => fake.entries.length).toBe(4);

      place.isDown = true;
      fake.hangUp();
      await record(300);
      await expect.poll(() => logs.state()[0]?.failure?.reason).toContain("connection refused");
      expect(fake.entries).toHaveLength(4);
      place.isDown = false;
      await expect.poll(() => fake.entries.length).toBe(304);
      await expect.poll(() => logs.state()[0]?.failure).toBeUndefined();
      expect(warnings.every((warning) => warning.includes("connection refused"))).toBe(true);

      await ledger.recordRefusal(at(400), {
        kind: "refused",
        client: "repos",
        code: "too-large",
        reason: "no",
      });
      await expect.poll(() => fake.entries.length).toBe(305);
      expect(fake.connections).toBe(2);
    },
  );

  test("tries again and again in growing intervals, and asks for nothing between them", async () => {
    const { ledger, place, logs, record } = await scene({ required: false });
    place.isDown = true;
    logs.follow(() => ledger.queries.newest().seq + 1, {
      idleMs: 1,
      firstRestMs: 3_600_000,
      maxRestMs: 3_600_000,
    });
    await expect.poll(() => place.attempts).toBe(1);
    await expect.poll(() => logs.state()[0]?.failure).toBeDefined();
    for (const one of await record(30)) {
      await logs.ready();
      expect(await ends([logs.release(one)])).toEqual(["released"]);
    }
    expect(place.attempts).toBe(1);
  });

  test("ends at once, also in the middle of a backlog", async () => {
    const { ledger, fake, logs, record } = await scene({ required: false, timeoutMs: 3_600_000 });
    await record(2);
    const never = new Promise<void>(() => {});
    fake.beforeAnswer = () => never;
    logs.follow(() => ledger.queries.newest().seq + 1);
    await expect.poll(() => appendsTo(fake)).toHaveLength(1);
    await logs.finish();
    expect(logs.state()[0]?.connected).toBe(false);
  });
});

test("deliveries that nobody waits for do not pile up: one is under way, one follows with the newest of all", async () => {
  const { fake, logs, record } = await scene({ required: false });
  const recorded = await record(200);
  const answer = gate();
  fake.beforeAnswer = () => answer.opened;
  await logs.release(recorded[0] as RecordedSignature);
  await expect.poll(() => appendsTo(fake)).toEqual([[0, 2]]);
  expect(await ends(recorded.map((one) => logs.release(one)))).toEqual(all(200, "released"));
  answer.open();
  await logs.finish();
  expect(appendsTo(fake)).toEqual([
    [0, 2],
    [2, 201],
  ]);
});
