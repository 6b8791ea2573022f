import * as v from "valibot";

/** An answer has at most this many of anything. */
const MAX_ITEMS = 10_000;
const MAX_LENGTH = 4096;

const text = v.pipe(v.string(), v.maxLength(MAX_LENGTH));
const list = <const T extends v.GenericSchema>(item: T) => v.pipe(v.array(item), v.maxLength(MAX_ITEMS));
const time = v.pipe(text, v.isoTimestamp());
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const limits = list(v.object({ limit: text, left: count, next: v.optional(time) }));

/** Members of later versions are passed over (docs/FORMATS.md, "Status"). */
const schema = v.object({
  client: text,
  time,
  rules: list(
    v.object({
      id: text,
      type: text,
      names: v.optional(list(text)),
      max_size: count,
      limits,
      per_name: v.optional(list(v.object({ name: v.optional(text), limits })), []),
      key: text,
    }),
  ),
  keys: list(
    v.object({
      name: text,
      algorithm: text,
      fingerprint: text,
      expires: v.optional(time),
      problem: v.optional(text),
    }),
  ),
});

/** What a host says of a client's rules, limits and keys. Its texts are a stranger's. */
export type HostStatus = v.InferOutput<typeof schema>;

/** Reads the answer to `status --json`; undefined where it is none. Controlled by: whatever answers in the host's place. */
export function parseHostStatus(bytes: Uint8Array): HostStatus | undefined {
  try {
    const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    const result = v.safeParse(schema, json);
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}
