import { expect, test } from "vitest";
import type { Journal } from "../../../src/journal.ts";
import type { RecordedSignature } from "../../../src/log/ledger.ts";
import { type RemoteLog, RemoteLogs } from "../../../src/log/remote/remote-logs.ts";
import { Fault } from "../../../src/outcome.ts";

const DOWN = new Fault("remote-log-unavailable", "the remote log did not answer");
const FORKED = new Fault("log-broken", "the remote log holds another log");

/** A remote log whose every step the test decides, and that writes down what was asked of it. */
function fakeLog(name: string, required: boolean, calls: string[]) {
  const delivery = Promise.withResolvers<void>();
  let readiness: Promise<void> = Promise.resolve();
  let contradiction: Fault | undefined;
  const log: RemoteLog = {
    name,
    required,
    isConnected: false,
    entries: 0,
    connect: () => void calls.push(`connect ${name}`),
    ready: () => {
      calls.push(`ready ${name}`);
      return readiness;
    },
    contradiction: () => contradiction,
    deliver: (size) => {
      calls.push(`deliver ${size} ${name}`);
      return delivery.promise;
    },
    catchUp: (size) => {
      calls.push(`catch up ${size} ${name}`);
      return delivery.promise;
    },
    close: async () => void calls.push(`close ${name}`),
  };
  return {
    log,
    delivery,
    fail: (fault: Fault) => {
      readiness = Promise.reject(fault);
      readiness.catch(() => undefined);
    },
    contradict: (fault: Fault) => {
      contradiction = fault;
    },
  };
}

function scene() {
  const calls: string[] = [];
  const warnings: string[] = [];
  const journal: Journal = {
    info: () => undefined,
    warn: (_fields, message) => void warnings.push(message),
    error: () => undefined,
  };
  const first = fakeLog("first", true, calls);
  const second = fakeLog("second", true, calls);
  const spare = fakeLog("spare", false, calls);
  const logs = new RemoteLogs([first.log, second.log, spare.log], journal);
  return { calls, warnings, first, second, spare, logs };
}

const RECORDED = {
  kind: "recorded",
  entry: { seq: 7 },
  signature: Uint8Array.of(1, 2, 3),
} as unknown as RecordedSignature;

/** Whether a promise is settled once everything that is ready to run has run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const mark = () => {
    settled = true;
  };
  promise.then(mark, mark);
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

test("readiness asks every required remote log, and no other", async () => {
  const { logs, calls } = scene();
  await logs.ready();
  expect(calls).toContain("ready first");
  expect(calls).toContain("ready second");
  expect(calls).not.toContain("ready spare");
});

test("one required remote log that is not ready is enough", async () => {
  const { logs, second } = scene();
  second.fail(DOWN);
  await expect(logs.ready()).rejects.toBe(DOWN);
});

test("a contradiction that one shows stops signing, required or not", async () => {
  const { logs, spare } = scene();
  spare.contradict(FORKED);
  await expect(logs.ready()).rejects.toBe(FORKED);
});

test("a signature is released when the last required remote log has acknowledged its entry, and not before", async () => {
  const { logs, first, second } = scene();
  const released = logs.release(RECORDED);
  expect(await isSettled(released)).toBe(false);
  first.delivery.resolve();
  expect(await isSettled(released)).toBe(false);
  second.delivery.resolve();
  expect((await released).signature).toEqual(RECORDED.signature);
});

test("what is acknowledged is the entry itself: one more than its number", async () => {
  const { logs, calls, first, second } = scene();
  first.delivery.resolve();
  second.delivery.resolve();
  await logs.release(RECORDED);
  expect(calls).toContain("deliver 8 first");
  expect(calls).toContain("deliver 8 spare");
});

test("a required remote log that does not acknowledge holds the signature back, and the client hears what to do", async () => {
  const { logs, first, second } = scene();
  first.delivery.resolve();
  second.delivery.reject(DOWN);
  await expect(logs.release(RECORDED)).rejects.toMatchObject({
    code: DOWN.code,
    message: `${DOWN.message}; the same request again gets the signature that was logged`,
  });
});

test("a log that turns out to be broken holds it back as well, and there is nothing to repeat", async () => {
  const { logs, first, second } = scene();
  const broken = new Fault("log-broken", "there are two histories");
  first.delivery.reject(broken);
  second.delivery.resolve();
  await expect(logs.release(RECORDED)).rejects.toBe(broken);
});

test("one that is not required holds nothing back; its failure is in the journal", async () => {
  const { logs, warnings, calls, first, second, spare } = scene();
  first.delivery.resolve();
  second.delivery.resolve();
  await logs.release(RECORDED);
  const finished = logs.finish();
  expect(await isSettled(finished)).toBe(false);
  spare.delivery.reject(DOWN);
  await finished;
  expect(warnings).toEqual([DOWN.message]);
  expect(calls.slice(-3)).toEqual(["close first", "close second", "close spare"]);
});

test("without remote logs a recorded signature is released at once", async () => {
  const logs = new RemoteLogs([], { info: () => undefined, warn: () => undefined, error: () => undefined });
  await logs.ready();
  expect((await logs.release(RECORDED)).entry).toBe(RECORDED.entry);
  await logs.finish();
});

test("several signatures of one request reach a log that is not required one after the other, and all are waited for", async () => {
  const { logs, calls, first, second, spare } = scene();
  first.delivery.resolve();
  second.delivery.resolve();
  await logs.release(RECORDED);
  await logs.release({ ...RECORDED, entry: { ...RECORDED.entry, seq: 8 } });
  expect(calls).toContain("deliver 8 spare");
  expect(calls).not.toContain("deliver 9 spare");
  const finished = logs.finish();
  expect(await isSettled(finished)).toBe(false);
  spare.delivery.resolve();
  await finished;
  expect(calls).toContain("deliver 9 spare");
});
