import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { accept } from "../../../src/accept.ts";
import type { SshRemoteLog as SshSource } from "../../../src/config/config.ts";
import { type Journal, NO_JOURNAL } from "../../../src/journal.ts";
import { cosign } from "../../../src/log/cosignature.ts";
import { haltReason } from "../../../src/log/halt.ts";
import { Ledger } from "../../../src/log/ledger.ts";
import { readLogKey } from "../../../src/log/log-key.ts";
import {
  CosignedRemoteLog,
  type CosignedRemoteLogOptions,
} from "../../../src/log/remote/cosigned-remote-log.ts";
import { LogHost } from "../../../src/log/remote/log-host.ts";
import type { Message } from "../../../src/log/remote/message.ts";
import { noAnswer } from "../../../src/log/remote/remote-log-fault.ts";
import { RemoteLogs } from "../../../src/log/remote/remote-logs.ts";
import { Fault } from "../../../src/outcome.ts";
import { parseAddress } from "../../../src/request/peer.ts";
import { type HostInProcess, makeHost } from "../../sign/fixture.ts";
import { Cleanup } from "../../support/cleanup.ts";
import { buildDatabase } from "../../support/database-fixture.ts";
import { FakeLogHost, forgedCheckpoint, type Instead, newWitness } from "../../support/log-host.ts";
import { ORIGIN, rule } from "../../support/signing-host.ts";
import { faultCode, reopen, sign } from "../fixture.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const NAME = "core.db.tar.gz";
const bytes = buildDatabase({ packages: 1, kind: "db" });
/** One signature for ever, as far as these tests go. */
const ONCE = rule({ id: "once", type: "db", limits: ["1 per 90 days"] });

interface Wanted extends Partial<CosignedRemoteLogOptions> {
  readonly required?: boolean;
  readonly timeoutMs?: number;
  /** Nothing answers at its address. */
  readonly down?: boolean;
}

/** A signing host, and log hosts for it. */
async function makeHosts(count = 1) {
  const host = await makeHost(cleanup, { rules: ONCE });
  const { ledger } = host.host;
  const fakes = Array.from(
    { length: count },
    (_, i) => new FakeLogHost(ledger.verifier, newWitness(`w${i}`)),
  );
  const fake = fakes[0] as FakeLogHost;
  /** One request's view of a log host. */
  const remoteLog = (to: FakeLogHost, wanted: Wanted = {}) => {
    const { required = true, timeoutMs = 5000, down = false } = wanted;
    const source = { name: "loghost", required, timeoutMs, witness: to.witnessKey } as SshSource;
    return new CosignedRemoteLog(source, {
      ledger,
      stateDirectory: host.stateDirectory,
      journal: NO_JOURNAL,
      connect: async (signal) => {
        if (down) throw noAnswer("loghost", "connection refused");
        const connection = to.connect();
        signal.addEventListener("abort", () => connection.break(signal.reason));
        const { witnessKey: witness } = to;
        return LogHost.over(connection, { name: "loghost", verifier: ledger.verifier, witness, timeoutMs });
      },
      ...wanted,
    });
  };
  /** A request that waits for these remote logs; in one word how it ended. */
  const request = async (logs: readonly CosignedRemoteLog[], source = Readable.from([bytes])) => {
    const remoteLogs = new RemoteLogs(logs, NO_JOURNAL);
    const address = parseAddress("192.0.2.10");
    const call = { client: "repos", command: NAME, peer: address && { address, sshKey: undefined } };
    try {
      const answer = await accept({ ...host.host, remoteLogs }, call, source);
      return answer.kind === "signature" ? answer.receipt.entry.kind : answer.kind;
    } catch (error) {
      if (error instanceof Fault) return error.code;
      throw error;
    } finally {
      await remoteLogs.finish();
    }
  };
  return { host, ledger, fakes, fake, remoteLog, request };
}

/** How many entries each witness acknowledged, by what the ledger keeps. */
function acknowledged({ host }: HostInProcess): readonly number[] {
  return host.ledger.acknowledgements().map(({ checkpoint }) => checkpoint.size);
}

describe("a required remote log", () => {
  test("has the entry before the signature goes out, and its acknowledgement is kept", async () => {
    const { host, fake, request, remoteLog } = await makeHosts();
    expect(await request([remoteLog(fake)])).toBe("signed");
    expect(fake.entries.map(({ seq }) => seq)).toEqual([0, 1, 2]);
    expect(fake.entries.at(-1)?.private).toBeDefined();
    expect(fake.entries.at(-1)?.packages).toBeDefined();
    expect(acknowledged(host)).toEqual([3]);
  });

  test("that does not answer when it is decided: no entry, no place in a limit", async () => {
    const { host, fake, request, remoteLog } = await makeHosts();
    expect(await request([remoteLog(fake, { down: true })])).toBe("remote-log-unavailable");
    expect(host.kinds()).toEqual(["started"]);
    expect(await request([remoteLog(fake)])).toBe("signed");
  });

  test("that goes after the commit: the entry stays, and the same request again gets the signature", async () => {
    const { host, fake, request, remoteLog } = await makeHosts();
    fake.twist = (message) => (message.kind === "cosigned" ? "end" : message);
    expect(await request([remoteLog(fake)])).toBe("remote-log-unavailable");
    expect(host.kinds()).toEqual(["started", "configured", "signed"]);
    fake.twist = (message) => message;
    expect(await request([remoteLog(fake)])).toBe("reissued");
    expect(fake.entries).toHaveLength(4);
    expect(acknowledged(host)).toEqual([4]);
  });

  const WRONG: readonly [string, (note: string, fake: FakeLogHost) => Instead][] = [
    ["goes", () => "end"],
    ["hangs", () => "silence"],
    ["sends garbage", () => Buffer.from("garbage\n")],
    ["never stops", () => "endless"],
    [
      "cosigns with another key",
      (note) => ({ kind: "cosigned", note: cosign(note, newWitness(), new Date()) }),
    ],
  ];
  test.each(WRONG)(
    "that %s, whenever that is, gets no signature out, and the next request does",
    async (_, how) => {
      for (const step of ["hello", "cosigned"]) {
        const { host, fake, request, remoteLog } = await makeHosts();
        fake.twist = (message) =>
          message.kind === step ? how(host.host.ledger.checkpoint(), fake) : message;
        expect(await request([remoteLog(fake, { timeoutMs: 300 })]), step).toBe("remote-log-unavailable");
        expect(haltReason(host.stateDirectory)).toBeUndefined();
        fake.twist = (message) => message;
        const again = await request([remoteLog(fake)]);
        expect(again, step).toBe(step === "hello" ? "signed" : "reissued");
        expect(fake.entries).toHaveLength(host.entries().length);
      }
    },
  );

  test("that acknowledges what it had before, and not the new entry, gets no signature out", async () => {
    const { host, fake, request, remoteLog } = await makeHosts();
    await remoteLog(fake).deliver(1);
    const old = fake.note ?? "";
    fake.twist = (message) => (message.kind === "cosigned" ? { kind: "cosigned", note: old } : message);
    expect(await request([remoteLog(fake)])).toBe("remote-log-unavailable");
    expect(acknowledged(host)).toEqual([1]);
  });

  test("is connected to while the artefact is read: its greeting is there before the last byte", async () => {
    const { fake, request, remoteLog } = await makeHosts();
    const log = remoteLog(fake);
    const events: string[] = [];
    const source = Readable.from(
      (async function* () {
        yield bytes.subarray(0, 10);
        await log.ready();
        events.push("ready");
        yield bytes.subarray(10);
        events.push("read");
      })(),
    );
    expect(await request([log], source)).toBe("signed");
    expect(events).toEqual(["ready", "read"]);
    expect(fake.connections).toBe(1);
  });

  test("whose connection ended while the artefact was read is called again", async () => {
    const { host, fake, request, remoteLog } = await makeHosts();
    await remoteLog(fake).deliver(1);
    const log = remoteLog(fake);
    const source = Readable.from(
      (async function* () {
        await log.ready();
        // It has even lost its copy, and gets it anew.
        fake.entries.length = 0;
        fake.note = undefined;
        fake.hangUp();
        yield bytes;
      })(),
    );
    expect(await request([log], source)).toBe("signed");
    expect(fake.connections).toBe(3);
    expect(fake.entries.map(({ seq }) => seq)).toEqual([0, 1, 2]);
    expect(acknowledged(host)).toEqual([3]);
  });

  test("that went silent while the artefact was read is called again, too", async () => {
    const { fake, request, remoteLog } = await makeHosts();
    const log = remoteLog(fake, { timeoutMs: 1500 });
    const source = Readable.from(
      (async function* () {
        await log.ready();
        fake.twist = (message) => (message.kind === "root" ? "silence" : message);
        await sleep(1100);
        yield bytes;
      })(),
    );
    expect(await request([log], source)).toBe("signed");
    expect(fake.connections).toBe(2);
  });

  test("is not asked, and its connection ended, where the request is refused", async () => {
    const { fake, request, remoteLog } = await makeHosts();
    expect(await request([remoteLog(fake)], Readable.from([Buffer.from("no database")]))).toBe("refusal");
    expect(fake.received).toEqual([]);
  });
});

describe("a remote log that is not required", () => {
  test("keeps no signature back, and gets the backlog with the next request", async () => {
    const { host, fake, request, remoteLog } = await makeHosts();
    expect(await request([remoteLog(fake, { required: false, down: true })])).toBe("signed");
    expect(fake.entries).toHaveLength(0);
    expect(await request([remoteLog(fake, { required: false })])).toBe("reissued");
    expect(fake.entries).toHaveLength(4);
    expect(acknowledged(host)).toEqual([4]);
  });

  test("of several, all that are required must answer, and no other", async () => {
    const { host, fakes, request, remoteLog } = await makeHosts(3);
    const [first, second, third] = fakes as [FakeLogHost, FakeLogHost, FakeLogHost];
    expect(await request([remoteLog(first), remoteLog(second, { down: true })])).toBe(
      "remote-log-unavailable",
    );
    expect(host.kinds()).toEqual(["started"]);
    const optional = { required: false, down: true };
    expect(await request([remoteLog(first), remoteLog(second), remoteLog(third, optional)])).toBe("signed");
    expect(fakes.map(({ entries }) => entries.length)).toEqual([3, 3, 0]);
    expect(acknowledged(host)).toEqual([3, 3]);
  });
});

describe("a head that the log's key signed and that is none of the log's", () => {
  /** Where it is shown: by a remote log that has it, or gets to have it meanwhile. */
  async function shown(size: number, wanted: Wanted = {}) {
    const made = await makeHosts();
    const note = forgedCheckpoint(size, readLogKey(made.host.stateDirectory, ORIGIN));
    const cosigned = cosign(note, made.fake.witness, new Date());
    const log = made.remoteLog(made.fake, wanted);
    return { ...made, cosigned, log };
  }

  test.each([
    ["larger than the log: it was rolled back", 100, /has 1 entries and .* holds 100 .*signer-log restore/],
    ["of another root: there are two", 1, /two histories \(signer-log compare/],
  ])("%s. Nothing is signed, now and from then on", async (_, size, text) => {
    const { host, fake, request, log, cosigned } = await shown(size);
    fake.twist = (message) => (message.kind === "hello" ? { ...message, size, note: cosigned } : message);
    expect(await request([log])).toBe("log-broken");
    expect(host.kinds()).toEqual(["started"]);
    expect(haltReason(host.stateDirectory)).toMatch(text);
    expect(await faultCode(() => Ledger.open(host.stateDirectory))).toBe("log-broken");
  });

  test("counts as much where the remote log is not required", async () => {
    const { host, fake, request, log, cosigned } = await shown(100, { required: false });
    fake.twist = (message) =>
      message.kind === "hello" ? { ...message, size: 100, note: cosigned } : message;
    const source = Readable.from(
      (async function* () {
        await log.ready().catch(() => undefined); // it has been shown by the time that everything is read
        yield bytes;
      })(),
    );
    expect(await request([log], source)).toBe("log-broken");
    expect(host.kinds()).toEqual(["started"]);
    expect(haltReason(host.stateDirectory)).toMatch(/holds 100/);
  });

  test("keeps the signature back where it comes as an acknowledgement", async () => {
    const { host, fake, request, log, cosigned } = await shown(100);
    fake.twist = (message) => (message.kind === "cosigned" ? { kind: "cosigned", note: cosigned } : message);
    expect(await request([log])).toBe("log-broken");
    expect(host.kinds()).toEqual(["started", "configured", "signed"]);
    expect(haltReason(host.stateDirectory)).toMatch(/holds 100/);
    expect(acknowledged(host)).toEqual([]);
  });

  test("counts where a remote log that sees a conflict shows it", async () => {
    const { host, fake, request, log, cosigned } = await shown(2);
    const conflict: Message = { kind: "conflict", reason: "another root", note: cosigned };
    fake.twist = (message) => (message.kind === "cosigned" ? conflict : message);
    expect(await request([log])).toBe("log-broken");
    expect(haltReason(host.stateDirectory)).toMatch(/two histories/);
  });

  test.each<[string, (host: HostInProcess, fake: FakeLogHost) => string | undefined]>([
    ["nothing", () => undefined],
    ["a head of this log", ({ host }) => host.ledger.checkpoint()],
    ["a head that another key signed", (_, fake) => fake.note],
  ])(
    "is what stops signing: a remote log that claims a conflict and shows %s only delays it",
    async (_, show) => {
      const { host, fake, request, remoteLog } = await makeHosts();
      const { fake: other, request: requestThere, remoteLog: remoteThere } = await makeHosts();
      await requestThere([remoteThere(other)]);
      fake.twist = (message) => {
        const note = show(host, other);
        if (message.kind !== "cosigned") return message;
        return { kind: "conflict", reason: "another root", ...(note === undefined ? {} : { note }) };
      };
      expect(await request([remoteLog(fake)])).toBe("remote-log-unavailable");
      expect(haltReason(host.stateDirectory)).toBeUndefined();
      fake.twist = (message) => message;
      expect(await request([remoteLog(fake)])).toBe("reissued");
    },
  );
});

describe("two processes of one host", () => {
  test("may send at once: what the other one has logged and sent meanwhile is no contradiction", async () => {
    const { host, fake, request, remoteLog } = await makeHosts();
    const elsewhere = reopen(host.stateDirectory);
    const otherSends = async () => {
      await sign(elsewhere, host.clock.now, { rule: "else" });
      const source = elsewhere.source();
      fake.take(source.entries(fake.entries.length, source.size), elsewhere.checkpoint());
      source.close();
    };
    // The greeting is of more than this process has seen so far, and so is the acknowledgement.
    await otherSends();
    fake.beforeAnswer = otherSends;
    expect(await request([remoteLog(fake)])).toBe("signed");
    expect(host.kinds()).toEqual(["started", "signed", "configured", "signed", "signed"]);
    expect(acknowledged(host)).toEqual([5]);
    expect(haltReason(host.stateDirectory)).toBeUndefined();
  });
});

test("a login that is under way is finished before its connection is ended: sshd penalises those that are not", async () => {
  const { fake, remoteLog } = await makeHosts();
  const { promise: connection, resolve: logIn } = Promise.withResolvers<LogHost>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  let ended: AbortSignal | undefined;
  const log = remoteLog(fake, {
    connect: (signal) => {
      ended = signal;
      begin();
      return connection;
    },
  });
  log.connect();
  await begun;
  const closed = log.close();
  await sleep(50);
  expect(ended?.aborted).toBe(false);
  logIn({ close: () => undefined } as LogHost);
  await closed;
  expect(ended?.aborted).toBe(true);
});

describe("a backlog", () => {
  /** A log of 700 entries. */
  async function longLog() {
    const made = await makeHosts();
    await made.ledger.transact(made.host.clock.now, (transaction) => {
      for (let i = 0; i < 699; i++)
        transaction.append({ kind: "refused", client: "repos", code: "too-large", reason: `number ${i}` });
    });
    return made;
  }

  test("goes in appends of at most 256 entries, each acknowledged, and from where the copy ends", async () => {
    const { host, fake, remoteLog } = await longLog();
    await remoteLog(fake).deliver(100);
    const log = remoteLog(fake);
    await log.catchUp(700);
    const appends = fake.received.flatMap((message) => (message.kind === "append" ? [message] : []));
    expect(appends.map(({ from, to }) => [from, to])).toEqual([
      [0, 100],
      [100, 356],
      [356, 612],
      [612, 700],
    ]);
    expect(log.sent).toBe(600);
    await log.close();
    expect(acknowledged(host)).toEqual([700]);
  });

  test("that takes longer than a request may wait is left half done, and what is acknowledged is kept", async () => {
    const { host, fake, remoteLog } = await longLog();
    fake.beforeAnswer = () => sleep(400);
    const log = remoteLog(fake, { timeoutMs: 1000 });
    expect(await faultCode(() => log.deliver(700))).toBe("remote-log-unavailable");
    await log.close();
    const [kept] = acknowledged(host);
    expect([256, 512]).toContain(kept);
    const patient = remoteLog(fake, { timeoutMs: 1000 });
    await patient.catchUp(700);
    await patient.close();
    expect(acknowledged(host)).toEqual([700]);
  });

  test("is cut where its entries are large", async () => {
    const { ledger, fake, remoteLog } = await makeHosts();
    for (let i = 0; i < 3; i++) {
      const text = Array.from(
        { length: 30_000 },
        (_, at) => `p${i}-${String(at).padStart(6, "0")} 1-1 ${"a".repeat(64)}\n`,
      );
      const extra = { packages: { text: text.join(""), sha256: "0".repeat(64) } };
      await sign(ledger, new Date("2026-11-23T12:00:00Z"), { name: `n${i}.db.tar.gz`, extra });
    }
    await remoteLog(fake).deliver(4);
    const appends = fake.received.flatMap((message) => (message.kind === "append" ? [message] : []));
    expect(appends.map(({ from, to }) => [from, to])).toEqual([
      [0, 3],
      [3, 4],
    ]);
  });
});

test("an acknowledgement that cannot be kept costs no signature, and the journal has it", async () => {
  const { host, fake, request, remoteLog, ledger } = await makeHosts();
  const journal: string[] = [];
  const log = remoteLog(fake, {
    journal: { ...NO_JOURNAL, warn: (_, message) => journal.push(message) } as Journal,
    ledger: {
      verifier: ledger.verifier,
      source: () => ledger.source(),
      acknowledgements: () => [],
      acknowledge: () => {
        throw new Fault("busy", "others hold the log");
      },
    },
  });
  expect(await request([log])).toBe("signed");
  expect(journal).toEqual(["an acknowledgement was not kept"]);
  expect(acknowledged(host)).toEqual([]);
});

test("a remote log that holds less than it once acknowledged is filled again, and the journal says so", async () => {
  const { host, fake, request, remoteLog } = await makeHosts();
  expect(await request([remoteLog(fake)])).toBe("signed");
  const fresh = new FakeLogHost(fake.verifier, fake.witness);
  const journal: string[] = [];
  const log = remoteLog(fresh, { journal: { ...NO_JOURNAL, warn: (_, message) => journal.push(message) } });
  expect(await request([log])).toBe("reissued");
  expect(journal).toEqual(["the remote log holds less than it once acknowledged"]);
  expect(fresh.entries).toHaveLength(4);
  expect(acknowledged(host)).toEqual([4]);
});
