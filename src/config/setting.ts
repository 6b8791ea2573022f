import * as v from "valibot";

/** What settings of a configuration are made of, in signer.toml and in client.toml; each message says what was expected. */

/** A string that `parse` understands; the message says what was expected. */
export function text<T>(expected: string, parse: (text: string) => T | undefined) {
  return v.pipe(
    v.string(`expected ${expected}`),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const value = parse(dataset.value);
      if (value !== undefined) return value;
      addIssue({ message: `expected ${expected}` });
      return NEVER;
    }),
  );
}

/** A string of this form. */
export function matching(expected: string, pattern: RegExp) {
  return text(expected, (value) => (pattern.test(value) ? value : undefined));
}

export function listOf<const TItem extends v.GenericSchema>(expected: string, item: TItem) {
  return v.pipe(
    v.array(item, `expected a list of ${expected}`),
    v.nonEmpty(`expected at least one of ${expected}`),
  );
}

/** Also the length of a file name in the credentials folder; no path can be written with it, and files are named after it. */
export const identifier = matching("1 to 64 characters of a-z, 0-9, _ and -", /^[a-z0-9][a-z0-9_-]{0,63}$/);

export const absolutePath = matching("an absolute path", /^\/[^\0\n]{0,4095}$/);

/** A host's name or address, as `ssh` takes it; never an option. */
export const hostName = matching("a host name or an address", /^[A-Za-z0-9_:][A-Za-z0-9._:-]{0,252}$/);

export const port = v.pipe(
  v.number("expected a port"),
  v.integer("expected a port"),
  v.minValue(1, "expected a port from 1 to 65535"),
  v.maxValue(65_535, "expected a port from 1 to 65535"),
);

export const accountName = matching("an account's name", /^[a-z_][a-z0-9_.-]{0,63}$/);

/** A group's name, or its number. */
export const groupName = matching("a group's name or number", /^(?:[a-z_][a-z0-9_.-]{0,63}|[0-9]{1,9})$/);

/** An SSH public key. */
export interface HostKey {
  readonly type: string;
  readonly blob: Uint8Array;
}

/** An OpenSSH public key: type, base64 of the blob (RFC 4253 §6.6) which begins with the same type; a comment may follow. */
export function parseHostKey(value: string): HostKey | undefined {
  const [, type, base64] =
    /^([a-z0-9@.-]{1,64}) ([A-Za-z0-9+/=]{16,2048})(?: [\x20-\x7e]*)?$/.exec(value) ?? [];
  if (type === undefined || base64 === undefined) return undefined;
  const blob = Buffer.from(base64, "base64");
  const begins = blob.length > 4 + type.length && blob.readUInt32BE(0) === type.length;
  const canonical = blob.toString("base64") === base64;
  return begins && canonical && blob.subarray(4, 4 + type.length).toString("latin1") === type
    ? { type, blob }
    : undefined;
}

export const hostKey = text('a public key such as "ssh-ed25519 AAAA..."', parseHostKey);
