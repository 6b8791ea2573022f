import * as v from "valibot";
import { isEd25519Blob } from "../exchange/ssh-signature.ts";
import { quoted } from "../outcome.ts";
import { parseDuration, parseSize } from "../policy/quantity.ts";
import type { PullSettings, PullSource } from "./config.ts";
import { absolutePath, identifier, parseHostKey, text } from "./setting.ts";

/** `[pull]` and `[[sources]]` of signer.toml: the repository servers that `signer pull` fetches its work from. */

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)$/;

/**
 * `https://HOST[:PORT][/PATH]`, returned without a slash at its end: names are put behind it. Nothing that has to be escaped, no
 * user, query or fragment, no way upwards; undefined for anything else.
 */
export function parseSourceUrl(value: string): string | undefined {
  const { host, port, path } =
    /^https:\/\/(?<host>[^/:[\]]+|\[[^/\]]+\])(?::(?<port>[1-9]\d{0,4}))?(?<path>(?:\/[A-Za-z0-9._~-]+)*)\/?$/.exec(
      value,
    )?.groups ?? {};
  if (host === undefined || path === undefined || !HOST.test(host) || !URL.canParse(value)) return undefined;
  if (path.split("/").some((segment) => segment === "." || segment === "..")) return undefined;
  return `https://${host.toLowerCase()}${port === undefined ? "" : `:${port}`}${path}`;
}

/**
 * `socks5h://HOST:PORT`. No other scheme: with `socks5` this host would ask its own resolver for the server's name, and so tell it
 * what the proxy is to hide.
 */
export function parseProxyUrl(value: string): string | undefined {
  const { host } = /^socks5h:\/\/(?<host>[^/:[\]@]+|\[[^/\]]+\]):[1-9]\d{0,4}$/.exec(value)?.groups ?? {};
  return host !== undefined && HOST.test(host) && URL.canParse(value) ? value : undefined;
}

/** An SSH key that notifications can be signed with; its blob (RFC 8709 §4). */
function parseNotificationKey(value: string): Uint8Array | undefined {
  const key = parseHostKey(value);
  return key !== undefined && isEd25519Blob(key.blob) ? key.blob : undefined;
}

function durationOf(minMs: number, maxMs: number, bounds: string) {
  const duration = text('a duration such as "10 s" or "5 min"', parseDuration);
  return v.pipe(duration, v.minValue(minMs, `expected ${bounds}`), v.maxValue(maxMs, `expected ${bounds}`));
}

export const sourceSchema = v.strictObject({
  name: identifier,
  url: text(
    'an address such as "https://repo.example.org:8443/signer", without user, query and fragment',
    parseSourceUrl,
  ),
  client: identifier,
  ca: absolutePath,
  crl: v.optional(absolutePath),
  certificate: absolutePath,
  key: absolutePath,
  notification_key: text('an Ed25519 key such as "ssh-ed25519 AAAA..."', parseNotificationKey),
  poll: v.optional(durationOf(1000, DAY_MS, "1 s to 1 day"), "10 s"),
  max_back_off: v.optional(durationOf(1000, DAY_MS, "1 s to 1 day"), "5 min"),
  timeout: v.optional(durationOf(1000, HOUR_MS, "1 s to 1 h"), "30 s"),
  max_size: v.optional(text('a size such as "4 GiB"', parseSize), "4 GiB"),
  proxy: v.optional(text('a proxy such as "socks5h://127.0.0.1:9050", of this scheme', parseProxyUrl)),
});

export const pullSchema = v.strictObject({
  state: v.optional(absolutePath, "/var/lib/signer-pull"),
});

/** What no single value shows, in the raw document. */
export function sourceProblems(raw: Record<string, unknown>): string[] {
  const { sources, pull, state } = raw;
  const problems: string[] = [];
  if (isRecord(pull) && typeof pull["state"] === "string" && pull["state"] === state)
    problems.push("pull.state: expected another folder than state, which holds the log");
  if (!Array.isArray(sources)) return problems;
  const clients = Array.isArray(raw["rules"])
    ? new Set(raw["rules"].map((rule) => (isRecord(rule) ? rule["client"] : undefined)))
    : undefined;
  const names = new Set<unknown>();
  const clientOfKey = new Map<string, string>();
  for (const [index, source] of sources.entries()) {
    if (!isRecord(source)) continue;
    const { name, client, notification_key: key } = source;
    if (typeof name === "string" && names.has(name))
      problems.push(`source ${index + 1}, name: ${quoted(name)} stands twice`);
    names.add(name);
    if (typeof client === "string" && clients?.has(client) === false)
      problems.push(`source ${index + 1}, client: no rule names the client ${quoted(client)}`);
    const blob = typeof key === "string" ? parseNotificationKey(key) : undefined;
    if (blob === undefined || typeof client !== "string") continue;
    const keyId = Buffer.from(blob).toString("base64");
    const other = clientOfKey.get(keyId) ?? client;
    clientOfKey.set(keyId, other);
    // What is signed names no client: what one source was shown could be shown to the other.
    if (other !== client)
      problems.push(
        `source ${index + 1}, notification_key: it is that of another source, of the client ${quoted(other)}`,
      );
  }
  return problems;
}

export function makeSource(raw: v.InferOutput<typeof sourceSchema>): PullSource {
  return {
    name: raw.name,
    url: raw.url,
    client: raw.client,
    caFile: raw.ca,
    crlFile: raw.crl,
    certificateFile: raw.certificate,
    keyFile: raw.key,
    notificationKey: raw.notification_key,
    pollMs: raw.poll,
    maxBackOffMs: raw.max_back_off,
    timeoutMs: raw.timeout,
    maxBytes: raw.max_size,
    proxy: raw.proxy,
  };
}

export function makePull(raw: v.InferOutput<typeof pullSchema>): PullSettings {
  return { stateDirectory: raw.state };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
