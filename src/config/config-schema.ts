import * as v from "valibot";
import { ARTEFACT_TYPES } from "../artefact/artefact.ts";
import { parseNoteKey } from "../log/signed-note.ts";
import { parseAddressRange } from "../policy/address-range.ts";
import { parseLimit } from "../policy/limit.ts";
import { parseNamePattern } from "../policy/name-pattern.ts";
import { parseDuration, parseSize } from "../policy/quantity.ts";
import { parseKeyName } from "../request/request.ts";
import { MODES } from "./config.ts";
import {
  absolutePath,
  accountName,
  groupName,
  hostKey,
  hostName,
  identifier,
  listOf,
  matching,
  port,
  text,
} from "./setting.ts";
import { parseProxyUrl, parseSourceUrl, pullSchema, sourceSchema } from "./source-settings.ts";

const size = text('a size such as "64 MiB"', parseSize);
const duration = text('a duration such as "30 s", "24 h" or "14 days"', parseDuration);
const limit = text('a limit such as "60 per hour", "1 per month" or "5 per 30 days"', parseLimit);

const limits = v.array(limit, "expected a list of limits");

/** Longest a v4 signature can live, in seconds (RFC 9580 §5.2.3.18: four octets). */
const MAX_EXPIRY_MS = (2 ** 32 - 1) * 1000;

/** A timer of Node counts up to 2^31-1 ms and takes what is longer for 1 ms. */
const MAX_DEADLINE_MS = 24 * 86_400_000;
const deadline = v.pipe(duration, v.maxValue(MAX_DEADLINE_MS, "expected at most 24 days"));

const rule = v.strictObject({
  id: identifier,
  client: identifier,
  from: v.optional(
    listOf("addresses", text('an address or a range such as "2001:db8::/64"', parseAddressRange)),
  ),
  type: v.picklist(ARTEFACT_TYPES, 'expected "db", "files" or "iso"'),
  names: v.optional(listOf("names", text("a file name, with * as wildcard", parseNamePattern))),
  key: identifier,
  max_size: v.optional(size),
  max_expanded_size: v.optional(size),
  allow_empty: v.optional(v.boolean("expected true or false"), false),
  limits: v.optional(limits, []),
  limits_per_name: v.optional(limits, []),
  signature_expires: v.optional(
    v.pipe(
      duration,
      v.maxValue(MAX_EXPIRY_MS, "expected at most 136 years"),
      v.minValue(1000, "expected at least 1 s"),
    ),
  ),
});

const key = v.strictObject({
  file: absolutePath,
  passphrase_credential: v.optional(identifier),
});

const remoteTimeout = v.pipe(
  duration,
  v.minValue(100, "expected at least 100 ms"),
  v.maxValue(3_600_000, "expected at most 1 h"),
);

const logHost = {
  name: identifier,
  witness: text("a witness key NAME+ID+KEY, as signer-log init prints it", (value) =>
    parseNoteKey("cosignature", value),
  ),
  required: v.optional(v.boolean("expected true or false"), true),
  timeout: v.optional(remoteTimeout, "10 s"),
};

const sshRemoteLog = v.strictObject({
  type: v.literal("ssh"),
  ...logHost,
  host: hostName,
  port: v.optional(port, 22),
  user: v.optional(accountName, "signer-log"),
  key: absolutePath,
  host_key: hostKey,
});

const httpsRemoteLog = v.strictObject({
  type: v.literal("https"),
  ...logHost,
  url: text(
    'an address such as "https://log.example.org:8443/signer", without user, query and fragment',
    parseSourceUrl,
  ),
  ca: absolutePath,
  crl: v.optional(absolutePath),
  certificate: absolutePath,
  key: absolutePath,
  proxy: v.optional(text('a proxy such as "socks5h://127.0.0.1:9050", of this scheme', parseProxyUrl)),
});

const syslogRemoteLog = v.strictObject({
  type: v.literal("syslog"),
  name: identifier,
  host: hostName,
  port: v.optional(port, 6514), // RFC 5425 §4.1
  ca: absolutePath,
  certificate: v.optional(absolutePath),
  key: v.optional(absolutePath),
  required: v.optional(
    v.literal(false, "expected false: syslog acknowledges nothing, so that no signature can wait for it"),
    false,
  ),
  timeout: v.optional(remoteTimeout, "10 s"),
});

const remoteLog = v.variant(
  "type",
  [sshRemoteLog, httpsRemoteLog, syslogRemoteLog],
  'expected type = "ssh", "https" or "syslog"',
);

export type RawRemoteLog = v.InferOutput<typeof remoteLog>;

const connections = v.pipe(
  v.number("expected a number"),
  v.integer("expected a whole number"),
  v.minValue(1, "expected at least 1"),
  v.maxValue(1000, "expected at most 1000"),
);

const service = v.strictObject({
  sockets: v.optional(absolutePath, "/run/signer"),
  groups: v.optional(v.record(identifier, groupName), {}),
  max_connections: v.optional(connections, 32),
  max_active: v.optional(connections, 4),
  metrics: v.optional(absolutePath),
});

const sender = v.strictObject({
  socket: v.optional(absolutePath, "/run/signer-sender/sender.sock"),
  group: v.optional(groupName),
});

/** The shape of signer.toml. An unknown key anywhere is an error. */
export const configSchema = v.strictObject({
  // tlog-checkpoint: non-empty, no spaces, no plus (which ends the name in a verifier key), no newline.
  origin: matching(
    "a name such as signer.example.org/repo, without spaces or +",
    /^[A-Za-z0-9][A-Za-z0-9._/-]{0,254}$/,
  ),
  notation_domain: v.optional(v.string("expected a DNS name")),
  mode: v.optional(v.picklist(MODES, 'expected "standalone" or "split"'), "standalone"),
  state: absolutePath,
  reissue_window: v.optional(duration, "24 h"),
  journal: v.optional(absolutePath),
  deadlines: v.optional(
    v.strictObject({ idle: v.optional(deadline, "30 s"), total: v.optional(deadline, "1 h") }),
    {},
  ),
  keys: v.record(text("key names of a-z, 0-9, _ and -", parseKeyName), key),
  rules: listOf("rules", rule),
  remote_log: v.optional(v.array(remoteLog, "expected [[remote_log]] tables"), []),
  service: v.optional(service, {}),
  sender: v.optional(sender, {}),
  pull: v.optional(pullSchema, {}),
  sources: v.optional(v.array(sourceSchema, "expected [[sources]] tables"), []),
});

export type RawService = v.InferOutput<typeof service>;
export type RawRule = v.InferOutput<typeof rule>;
