import type { Readable } from "node:stream";
import type { SigningKey } from "./keys/signing-key.ts";
import type { Receipt } from "./log/remote/remote-logs.ts";
import { Fault, isRefusal, type Refusal } from "./outcome.ts";
import { rulesFor } from "./policy/admission.ts";
import type { FileName, KeyName, Requester } from "./request/request.ts";
import { type Caller, privateRecord, refuse, type SigningHost, sign } from "./sign.ts";
import { OuterArchive } from "./transport/outer-archive.ts";

/** A file of a batch, signed. */
export interface SignedFile {
  readonly kind: "signed-file";
  readonly name: FileName;
  readonly receipt: Receipt;
}

/**
 * Signs the files of a tar archive, in their order. Each is a request of its own for rules, limits and log; the next one is
 * not read before the consumer asks for it. The first refusal is logged, comes last, and ends it; its reason begins with
 * the file's name. Remote logs stay connected and keys loaded over the whole batch.
 * @param source the archive; destroyed when the batch ends
 * @throws Fault as {@link sign}, after which nothing further was signed
 */
export async function* signBatch(
  host: SigningHost,
  request: { readonly for: Requester | undefined },
  caller: Caller,
  source: Readable,
): AsyncGenerator<SignedFile | Refusal, void, undefined> {
  const record = privateRecord(caller, request);
  const rules = rulesFor(host.config.rules, caller.client, caller.peer.address);
  if (isRefusal(rules)) {
    yield await refuse(host, caller.client, rules, {}, record);
    return;
  }
  const hostOfBatch = { ...host, loadKey: loadOnce(host.loadKey) };
  const archive = new OuterArchive(source, host.config.deadlines);
  try {
    for (let file = await archive.next(); file !== undefined; file = await archive.next()) {
      if (isRefusal(file)) {
        yield await refuse(host, caller.client, file, {}, record);
        return;
      }
      const { name, content } = file;
      const receipt = await naming(name, () =>
        sign(hostOfBatch, { ...request, kind: "sign", name }, caller, content),
      );
      if (isRefusal(receipt)) {
        yield { ...receipt, reason: `${name}: ${receipt.reason}` };
        return;
      }
      yield { kind: "signed-file", name, receipt };
    }
  } finally {
    archive.close();
  }
}

/** A Fault says which file it was. */
async function naming<T>(name: FileName, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault(error.code, `${name}: ${error.message}`, { cause: error });
  }
}

function loadOnce(loadKey: (name: KeyName) => Promise<SigningKey>): (name: KeyName) => Promise<SigningKey> {
  const loaded = new Map<KeyName, Promise<SigningKey>>();
  return (name) => {
    const key = loaded.get(name) ?? loadKey(name);
    loaded.set(name, key);
    return key;
  };
}
