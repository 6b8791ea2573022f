import type { Readable } from "node:stream";
import type { ArtefactFacts } from "./artefact/artefact.ts";
import { DEFAULT_LIMITS } from "./artefact/compression.ts";
import { recognise } from "./artefact/recognise.ts";
import type { Config } from "./config/config.ts";
import { type Artefact, type Received, type Rejected, receive } from "./intake/intake.ts";
import { RefusedSource } from "./intake/refused-source.ts";
import type { Journal } from "./journal.ts";
import type { SigningKey } from "./keys/signing-key.ts";
import { configuredFields } from "./log/configured.ts";
import type { Ledger, SignatureRecord } from "./log/ledger.ts";
import type { LedgerTransaction, RefusedFields } from "./log/ledger-transaction.ts";
import { effectiveTime } from "./log/log-clock.ts";
import type { SignedEntry } from "./log/log-entry.ts";
import { encodeLogNotations } from "./log/notations.ts";
import { packageList } from "./log/package-list.ts";
import type { PrivateRecord } from "./log/private-record.ts";
import type { Receipt, RemoteLogs } from "./log/remote/remote-logs.ts";
import { startMessageHash } from "./openpgp/message-hash.ts";
import { type Code, Fault, isRefusal, type Refusal, refusal } from "./outcome.ts";
import { type Admission, admit } from "./policy/admission.ts";
import { encodeLimit, type Limit, limitState } from "./policy/limit.ts";
import { refuseOverLimit } from "./policy/limit-history.ts";
import { type Permit, permit } from "./policy/permit.ts";
import { describeRules, type Rule } from "./policy/rule.ts";
import type { Peer } from "./request/peer.ts";
import type { KeyName, Request } from "./request/request.ts";

/** What a request meets: everything outside the pure code, opened once. */
export interface SigningHost {
  readonly config: Config;
  readonly ledger: Ledger;
  readonly remoteLogs: RemoteLogs;
  /** The key of a configured name; Fault `key-unavailable` where it cannot be read. */
  readonly loadKey: (name: KeyName) => Promise<SigningKey>;
  readonly journal: Journal;
  readonly now: () => Date;
}

/** Who asks. */
export interface Caller {
  /** The `--client` of the forced command: the administrator chose it together with the SSH key. */
  readonly client: string;
  readonly peer: Peer;
}

type SignRequest = Request & { readonly kind: "sign" };
type KeyRing = ReadonlyMap<KeyName, SigningKey>;

/** How often one signature is delivered again. */
const REISSUE_LIMIT: Limit = { count: 10, window: { kind: "sliding", ms: 3_600_000 } };

/**
 * One request from its first byte to its receipt, the only thing that can be answered with a signature. A refusal is
 * logged and returned.
 * @param source the artefact's bytes; left half read, and destroyed, where the answer is a refusal. One that fails with
 *   {@link RefusedSource} is refused as that says
 * @throws Fault, after which nothing was signed; those that do not come from the ledger itself are in the log
 */
export async function sign(
  host: SigningHost,
  request: SignRequest,
  caller: Caller,
  source: Readable,
): Promise<Receipt | Refusal> {
  const { client, peer } = caller;
  const seen: Seen = request.name === undefined ? {} : { name: request.name };
  const record = privateRecord(caller, request);
  try {
    const admission = admit(host.config.rules, client, peer.address, request.name);
    if (isRefusal(admission)) return await refuse(host, client, admission, seen, record);

    const keys = await loadKeys(host, admission);
    const early = refuseBeforeReading(host, admission, keys);
    if (early !== undefined) return await refuse(host, client, early, seen, record);

    host.remoteLogs.connect();
    const artefact = await read(host, admission, keys, source);
    if (artefact.kind === "rejected")
      return await refuse(host, client, artefact.refusal, { ...seen, ...artefact.received }, record);

    const allowed = permit(admission, artefact.facts, artefact.received.size);
    if (isRefusal(allowed))
      return await refuse(host, client, allowed, { ...seen, ...artefact.received }, record);

    const work = { admission, allowed, artefact, key: keyOf(keys, allowed.rule), record };
    await host.remoteLogs.ready();
    const recorded = await host.ledger.sign(host.now(), (transaction) =>
      signAndRecord(host.config, work, transaction),
    );
    const known = { ...seen, ...artefact.received, rule: allowed.rule.id, type: allowed.type };
    if (isRefusal(recorded)) return await refuse(host, client, recorded, known, record);
    host.journal.info({ client, seq: recorded.entry.seq, ...known }, recorded.entry.kind);
    return await host.remoteLogs.release(recorded);
  } catch (error) {
    if (error instanceof RefusedSource) return await refuse(host, client, error.refusal, seen, record);
    if (error instanceof Fault && isLoggable(error)) {
      await refuse(host, client, { code: error.code, reason: error.message }, seen, record);
    }
    throw error;
  }
}

/** What is known of the artefact when it is refused. */
type Seen = Partial<Received> & Pick<RefusedFields, "name" | "rule" | "type">;

/**
 * Logs a refusal and returns it. One that cannot be logged is still a refusal: the journal says so. The journal has those that
 * have an entry, ten for each client and code in an hour: whoever asks without end fills neither.
 */
export async function refuse<T extends { readonly code: Code; readonly reason: string }>(
  host: Pick<SigningHost, "ledger" | "journal" | "now">,
  client: string,
  refused: T,
  seen: Seen,
  record: PrivateRecord,
): Promise<T> {
  const { code, reason } = refused;
  try {
    const entry = await host.ledger.recordRefusal(
      host.now(),
      { kind: "refused", client, code, reason, ...seen },
      { private: record },
    );
    if (entry !== undefined) host.journal.warn({ client, code, ...seen, ...record }, reason);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    host.journal.warn({ client, code, ...seen, ...record }, reason);
    host.journal.error({ code: error.code, err: error }, "a refusal could not be logged");
  }
  return refused;
}

/** What an entry keeps apart because it is about people. */
export function privateRecord(caller: Caller, request: Pick<SignRequest, "for"> | undefined): PrivateRecord {
  return {
    ...(request?.for === undefined ? {} : { for: request.for }),
    address: caller.peer.address,
    ...(caller.peer.sshKey === undefined ? {} : { sshKey: caller.peer.sshKey }),
  };
}

/** Faults of the keys are worth an entry; after those of the ledger there is none to be had. */
function isLoggable(fault: Fault): boolean {
  return fault.code === "key-unavailable" || fault.code === "key-unusable" || fault.code === "signing-failed";
}

async function loadKeys(host: SigningHost, admission: Admission): Promise<KeyRing> {
  const names = new Set([...admission.ruleOf.values()].map((rule) => rule.key));
  const keys = new Map<KeyName, SigningKey>();
  for (const name of names) keys.set(name, await host.loadKey(name));
  return keys;
}

function keyOf(keys: KeyRing, rule: Rule): SigningKey {
  const key = keys.get(rule.key);
  if (key === undefined) throw new Error(`the key of rule ${rule.id} was not loaded`);
  return key;
}

/**
 * What can be known without a byte: that the clock is behind the log, or that no rule in question has a key fit to sign, or a
 * place left in its limits. A limit waits for the bytes where they may turn out to be what was signed within the
 * reissue window.
 */
function refuseBeforeReading(host: SigningHost, admission: Admission, keys: KeyRing): Refusal | undefined {
  const { queries } = host.ledger;
  const now = effectiveTime(host.now(), queries.newest().time);
  const rules = [...admission.ruleOf.values()];
  const problems = rules.map((rule) => keyOf(keys, rule).problemAt(now));
  const [problem] = problems;
  if (problem !== undefined && problems.every((each) => each !== undefined))
    throw new Fault("key-unusable", problem.reason);

  const reissuableSince = now.getTime() - host.config.reissueWindowMs;
  const refusals = rules.map((rule) => {
    const refused = refuseOverLimit(rule, admission.name, queries, now);
    if (refused === undefined) return undefined;
    // Asked after the limits: what took the last place meanwhile may be these very bytes, sent twice at once.
    const [newest] = queries.latestTimes(rule.id, 1, admission.name ?? null);
    return newest !== undefined && newest.getTime() >= reissuableSince ? undefined : refused;
  });
  return refusals.every((each) => each !== undefined) ? refusals[0] : undefined;
}

async function read(
  host: SigningHost,
  admission: Admission,
  keys: KeyRing,
  source: Readable,
): Promise<Artefact | Rejected> {
  const rules = [...admission.ruleOf.values()];
  const maxBytes = Math.max(...rules.map((rule) => rule.maxBytes));
  const maxExpandedBytes = Math.max(...rules.map((rule) => rule.maxExpandedBytes));
  const recogniser = recognise(
    { name: admission.name, types: new Set(admission.ruleOf.keys()), maxBytes },
    { ...DEFAULT_LIMITS, maxBytes, maxExpandedBytes },
  );
  const message = startMessageHash([...keys.values()]);
  return await receive(source, recogniser, message, { maxBytes, ...host.config.deadlines });
}

/** Everything that one signature is made of. */
interface SigningWork {
  readonly admission: Admission;
  readonly allowed: Permit;
  readonly artefact: Artefact;
  readonly key: SigningKey;
  readonly record: PrivateRecord;
}

/** Inside the transaction: the same again, or a place in every limit and a new signature. */
async function signAndRecord(
  config: Config,
  work: SigningWork,
  transaction: LedgerTransaction,
): Promise<SignatureRecord | Refusal> {
  const rules = configuredFields(describeRules(config.rules));
  if (transaction.rulesInForce() !== rules.rules) transaction.append(rules);

  const { admission, allowed, artefact, key } = work;
  const problem = key.problemAt(transaction.time);
  if (problem !== undefined) throw new Fault("key-unusable", problem.reason);
  const { client, name } = admission;
  const { sha512 } = artefact.received;
  const same = { client, name, type: allowed.type, key: key.fingerprint, sha512 };
  const earlier = transaction.findSigned(same, before(transaction.time, config.reissueWindowMs));
  if (earlier !== undefined && isFresh(earlier, transaction.time)) return reissue(earlier, work, transaction);
  return (
    refuseOverLimit(allowed.rule, name, transaction, transaction.time) ??
    (await signAnew(config, work, transaction))
  );
}

function reissue(
  earlier: SignedEntry,
  work: SigningWork,
  transaction: LedgerTransaction,
): SignatureRecord | Refusal {
  const reissues = transaction.reissueTimes(earlier.seq, REISSUE_LIMIT.count);
  const state = limitState(REISSUE_LIMIT, reissues, transaction.time);
  if (state.kind === "used-up")
    return refusal(
      "over-limit",
      `this signature was delivered again ${encodeLimit(REISSUE_LIMIT)}; the next is possible at ${state.nextAt.toISOString()}`,
    );
  return {
    kind: "signature-record",
    fields: { ...signatureFields(work), kind: "reissued", of: earlier.seq, signature: earlier.signature },
    extra: { private: work.record },
  };
}

async function signAnew(
  config: Config,
  work: SigningWork,
  transaction: LedgerTransaction,
): Promise<SignatureRecord> {
  const { admission, allowed, artefact, key } = work;
  const { signatureExpiresMs } = allowed.rule;
  const { facts } = artefact;
  const signature = await key.sign(artefact.message, {
    createdAt: transaction.time,
    expiresAfterSeconds: signatureExpiresMs === undefined ? undefined : signatureExpiresMs / 1000,
    notations: encodeLogNotations({
      domain: config.notationDomain,
      type: allowed.type,
      name: admission.name,
      tree: { size: transaction.size, root: transaction.root },
    }),
  });
  return {
    kind: "signature-record",
    fields: {
      ...signatureFields(work),
      kind: "signed",
      signature: Buffer.from(signature).toString("base64"),
      ...(signatureExpiresMs === undefined ? {} : { expires: expiry(transaction.time, signatureExpiresMs) }),
      facts: entryFacts(facts),
    },
    extra: {
      private: work.record,
      ...(facts.kind === "database" ? { packages: packageList(facts.packages) } : {}),
    },
  };
}

function signatureFields({ admission, allowed, artefact, key }: SigningWork) {
  return {
    client: admission.client,
    rule: allowed.rule.id,
    type: allowed.type,
    ...(admission.name === undefined ? {} : { name: admission.name }),
    ...artefact.received,
    key: key.fingerprint,
  };
}

/** Whether more than half of a signature's life is left, and it has begun: a clock that ran ahead may have dated it. */
function isFresh(entry: SignedEntry, now: Date): boolean {
  if (Date.parse(entry.time) > now.getTime()) return false;
  if (entry.expires === undefined) return true;
  const expires = Date.parse(entry.expires);
  return expires - now.getTime() > (expires - Date.parse(entry.time)) / 2;
}

/** When a signature made at `time` expires: OpenPGP counts from the whole second (RFC 9580 §5.2.3.11, §5.2.3.18). */
function expiry(time: Date, lifeMs: number): string {
  return new Date(Math.floor(time.getTime() / 1000) * 1000 + lifeMs).toISOString();
}

/** What an entry keeps of the recogniser's facts; the packages go beside it. */
function entryFacts(facts: ArtefactFacts): Readonly<Record<string, string | number | boolean>> {
  if (facts.kind === "image") {
    const { volumeId, publisher, application, createdAt, bootable } = facts;
    return {
      volume_id: volumeId,
      publisher,
      application,
      bootable,
      ...(createdAt === undefined ? {} : { created: createdAt }),
    };
  }
  const { compression, packages, newestBuildDate, expandedBytes } = facts;
  return {
    compression,
    packages: packages.length,
    expanded_bytes: expandedBytes,
    ...(newestBuildDate === undefined ? {} : { newest_build_date: newestBuildDate }),
  };
}

function before(time: Date, ms: number): Date {
  return new Date(time.getTime() - ms);
}
