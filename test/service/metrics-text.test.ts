import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeMetrics } from "../../src/service/metrics-text.ts";
import { Tally } from "../../src/service/tally.ts";
import { parseExposition } from "../support/exposition.ts";
import { clientState, later, NOW, servedStateOf, withClients } from "./served-state.ts";

const metrics = (...args: Parameters<typeof servedStateOf>) =>
  parseExposition(encodeMetrics(servedStateOf(...args)));

describe("encodeMetrics", () => {
  test("says what the service is, how long it has been there, and that nothing is in its way", () => {
    expect(metrics()).toEqual(
      new Map([
        ...metrics(),
        ['signer_build_info{version="1.2.3"}', 1],
        ["signer_up", 1],
        ["signer_ready", 1],
        ["signer_halted", 0],
        ["signer_start_time_seconds", later(-7260).getTime() / 1000],
      ]),
    );
  });

  test("counts requests by client and outcome, signatures by client and kind; answered from the beginning", () => {
    const text = encodeMetrics(
      withClients(
        clientState({ client: "releng" }),
        clientState({
          outcomes: new Map([
            ["over-limit", 2],
            ["answered", 7],
          ]),
          signed: 5,
          reissued: 3,
          connections: 4,
          waiting: 1,
          turnedAway: 6,
        }),
      ),
    );
    const series = parseExposition(text);
    const of = (name: string) => [...series].filter(([key]) => key.startsWith(name));
    expect(of("signer_requests_total")).toEqual([
      ['signer_requests_total{client="releng",outcome="answered"}', 0],
      ['signer_requests_total{client="repos",outcome="answered"}', 7],
      ['signer_requests_total{client="repos",outcome="over-limit"}', 2],
    ]);
    expect(of("signer_signatures_total").slice(2)).toEqual([
      ['signer_signatures_total{client="repos",kind="signed"}', 5],
      ['signer_signatures_total{client="repos",kind="reissued"}', 3],
    ]);
    expect(series.get('signer_connections{client="repos"}')).toBe(4);
    expect(series.get('signer_requests_waiting{client="repos"}')).toBe(1);
    expect(series.get('signer_connections_turned_away_total{client="repos"}')).toBe(6);
  });

  test("puts each duration into every bucket that it is not longer than", () => {
    const tally = new Tally();
    for (const seconds of [0.001, 0.002, 0.3, 61]) tally.ended("repos", "answered", seconds);
    tally.ended("repos", "over-limit", 0.001);
    const { durations, durationSeconds } = tally.clients.get("repos") ?? clientState();
    const series = parseExposition(encodeMetrics(withClients(clientState({ durations, durationSeconds }))));
    const below = (le: string) =>
      series.get(`signer_request_duration_seconds_bucket{client="repos",le="${le}"}`);
    expect(["0.002", "0.005", "0.25", "0.5", "60", "+Inf"].map(below)).toEqual([2, 2, 2, 3, 3, 4]);
    expect(series.get('signer_request_duration_seconds_count{client="repos"}')).toBe(4);
    expect(series.get('signer_request_duration_seconds_sum{client="repos"}')).toBeCloseTo(61.303);
  });

  test("says what each limit allows and has left, once where it stands in a rule twice", () => {
    const [rule] = servedStateOf().rules;
    if (rule === undefined) throw new Error();
    const series = metrics({
      rules: [{ ...rule, limits: [...(rule.limits ?? []), ...(rule.limits ?? [])] }],
    });
    expect(series.get('signer_limit_left{rule="repos-db",limit="600 per day"}')).toBe(540);
    expect(series.get('signer_limit_left{rule="repos-db",limit="60 per hour"}')).toBe(0);
    expect(series.get('signer_limit_places{rule="repos-db",limit="60 per hour"}')).toBe(60);
  });

  test("says how long each key has left, less than nothing where it is over, and nothing where it has no end", () => {
    const key = { name: "repo", fingerprint: "A", expiresAt: later(86_400), problem: undefined };
    const problem = { code: "key-unusable", reason: "expired" } as const;
    const series = metrics({
      keys: [
        key,
        { ...key, name: "old", expiresAt: later(-1), problem },
        { ...key, name: "endless", expiresAt: undefined },
      ],
    });
    const of = (name: string) =>
      ["repo", "old", "endless"].map((each) => series.get(`${name}{key="${each}"}`));
    expect(of("signer_key_left_seconds")).toEqual([86_400, -1, undefined]);
    expect(of("signer_key_usable")).toEqual([1, 0, 1]);
  });

  test("says how large the log is and what each remote log lacks; nothing where the log cannot be read", () => {
    expect(metrics().get("signer_log_entries")).toBe(12);
    expect(metrics().get("signer_log_last_entry_timestamp_seconds")).toBe(later(-5).getTime() / 1000);
    expect(metrics().get('signer_remote_log_unacknowledged_entries{remote_log="loghost"}')).toBe(2);
    const [rule] = servedStateOf().rules;
    const [remote] = servedStateOf().remoteLogs;
    if (rule === undefined || remote === undefined) throw new Error();
    const unreadable = metrics({
      log: { code: "log-broken", reason: "it is" },
      rules: [{ ...rule, limits: undefined }],
      remoteLogs: [{ ...remote, acknowledged: undefined, unacknowledged: undefined }],
    });
    expect([...unreadable.keys()].filter((key) => /log_entries|limit|unacknowledged/.test(key))).toEqual([]);
    expect(unreadable.get("signer_ready")).toBe(0);
  });

  test("tells a remote log that fails, a halt and a service that has stopped", () => {
    const [remote] = servedStateOf().remoteLogs;
    if (remote === undefined) throw new Error();
    const failing = metrics({
      remoteLogs: [{ ...remote, connected: false, failure: { at: NOW, reason: "timed out" } }],
    });
    expect(failing.get('signer_remote_log_failing{remote_log="loghost"}')).toBe(1);
    expect(failing.get('signer_remote_log_connected{remote_log="loghost"}')).toBe(0);
    expect(failing.get("signer_ready")).toBe(0);
    const halted = metrics({ halted: "signing was stopped" });
    expect([halted.get("signer_halted"), halted.get("signer_ready")]).toEqual([1, 0]);
    const stopped = metrics({ service: { ...servedStateOf().service, isServing: false } });
    expect([stopped.get("signer_up"), stopped.get("signer_ready")]).toEqual([0, 0]);
  });

  test("is of the format whatever a label holds, and tells two texts apart", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("\\", '"', "\n", "n", "{", "}", ",", " ", "é") }),
        (name) => {
          const series = parseExposition(
            encodeMetrics(withClients(clientState({ client: name, connections: 1 }))),
          );
          const key = [...series.keys()].find((each) => each.startsWith("signer_connections{")) ?? "";
          const escaped = /^signer_connections\{client="(.*)"\}$/s.exec(key)?.[1] ?? "";
          expect(escaped.replace(/\\(.)/g, (_, next) => (next === "n" ? "\n" : next))).toBe(name);
        },
      ),
    );
  });
});

describe("the reader of this test refuses", () => {
  const family = "# HELP a b\n# TYPE a gauge\n";
  test.each([
    ["no line feed at the end", `${family}a 1`],
    ["a sample without a type", "a 1\n"],
    ["a TYPE without HELP", "# TYPE a gauge\na 1\n"],
    ["a family without samples", family],
    ["a series twice", `${family}a 1\na 1\n`],
    ["a quote that is not escaped", `${family}a{b="""} 1\n`],
    ["a counter that is not named so", "# HELP a b\n# TYPE a counter\na 1\n"],
    ["a value that is no number", `${family}a undefined\n`],
    ["a sample of another family", `${family}b 1\n`],
    [
      "buckets that shrink",
      '# HELP h b\n# TYPE h histogram\nh_bucket{c="",le="1"} 2\nh_bucket{c="",le="+Inf"} 1\nh_sum{c=""} 1\nh_count{c=""} 1\n',
    ],
    [
      "a count that is not the last bucket's",
      '# HELP h b\n# TYPE h histogram\nh_bucket{c="",le="+Inf"} 1\nh_sum{c=""} 1\nh_count{c=""} 2\n',
    ],
  ])("%s", (_, text) => {
    expect(() => parseExposition(text)).toThrow();
  });
});
