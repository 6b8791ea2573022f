import { describe, expect, test } from "vitest";
import { describeHost } from "../../src/cli/status-text.ts";
import type { HostState } from "../../src/service/host-state.ts";
import { clientState, later, NOW, servedStateOf, withClients } from "../service/served-state.ts";

const describeState = (changes: Partial<HostState> = {}, noService = "") =>
  describeHost({ ...servedStateOf(), ...changes }, noService);
const lines = (text: string) => text.split("\n");

describe("the status for people", () => {
  test("is a few lines on the whole, and a table for each question", () => {
    const state = withClients(
      clientState({ client: "releng", connections: 1, waiting: 1 }),
      clientState({
        outcomes: new Map([
          ["answered", 120],
          ["wrong-type", 1],
          ["over-limit", 20],
        ]),
        signed: 117,
        reissued: 3,
        turnedAway: 2,
      }),
    );
    expect(describeHost(state, "")).toBe(`host     signer.example.org/repo, split mode, 2026-11-23 12:00 UTC
service  1.2.3, since 2026-11-23 09:59 UTC (2 hours)
log      12 entries, the last 2026-11-23 11:59:55 UTC
signing  nothing known is in its way

CLIENT  REQUESTS  SIGNED  REISSUED  OPEN  WAITING  TURNED AWAY
releng         0       0         0     1        1            0
repos        141     117         3     0        0            2

NO ANSWER   CLIENT  TIMES
over-limit  repos      20
wrong-type  repos       1

RULE      CLIENT  LIMIT        NOW
repos-db  repos   600 per day  [#.........] 540 left
                  60 per hour  [##########] next 2026-11-23 12:01 UTC

KEY   FINGERPRINT                               VALID UNTIL  DAYS LEFT
repo  ${"A".repeat(40)}  2026-12-24          30

REMOTE LOG  REQUIRED  ACKNOWLEDGED  NOT YET  CONNECTED
loghost     yes                 10        2  yes
`);
  });

  test("says why there is no service, and nothing of what one would know", () => {
    const text = describeState({ mode: "standalone", service: undefined }, "none in this mode");
    expect(lines(text)).toContain("service  none in this mode");
    expect(text).not.toMatch(/CLIENT +REQUESTS|NO ANSWER/);
  });

  test("names everything that is in the way of signing, within 80 columns", () => {
    const text = describeState({
      halted: `signing was stopped at ${NOW.toISOString()}: ${"the log is not what it was, ".repeat(6)}`,
      keys: [
        {
          name: "repo",
          fingerprint: "A".repeat(40),
          expiresAt: later(-86_400),
          problem: { code: "key-unusable", reason: 'key "repo": the key expired at 2026-11-22T12:00:00Z' },
        },
      ],
      remoteLogs: [
        {
          name: "loghost",
          required: true,
          acknowledged: 10,
          unacknowledged: 2,
          connected: false,
          failure: {
            at: later(-60),
            reason: `the remote log loghost does not answer: ${"timed out ".repeat(5)}`,
          },
        },
      ],
    });
    expect(text).toMatch(/^SIGNING {2}log-broken: signing was stopped/m);
    expect(text).toMatch(/^ {9}key-unusable: key "repo": the key expired/m);
    expect(text).toMatch(/^repo {2}A{40} {2}2026-11-22 +unusable$/m);
    expect(text).toMatch(/^loghost, 2026-11-23 11:59 UTC: the remote log loghost does not answer/m);
    expect(Math.max(...lines(text).map(({ length }) => length))).toBeLessThanOrEqual(80);
  });

  test("says what is not known where log and key cannot be read", () => {
    const text = describeState({
      log: { code: "no-state", reason: "there is no log" },
      rules: servedStateOf().rules.map((rule) => ({ ...rule, limits: undefined })),
      keys: [
        {
          name: "repo",
          fingerprint: undefined,
          expiresAt: undefined,
          problem: { code: "key-unavailable", reason: 'key "repo": the file cannot be read (ENOENT)' },
        },
      ],
    });
    expect(text).toContain("log      cannot be read\n");
    expect(text).toContain("SIGNING  no-state: there is no log\n");
    expect(text).toMatch(/^repos-db {2}repos {3}not known$/m);
  });

  test("shows no control character, whatever a text holds", () => {
    const nasty = "\u001b[2J\n\u009b1m\r";
    const text = describeHost(
      {
        ...servedStateOf({ origin: nasty, halted: nasty }),
        service: { ...servedStateOf().service, version: nasty, clients: [clientState({ client: nasty })] },
        remoteLogs: servedStateOf().remoteLogs.map((log) => ({
          ...log,
          name: nasty,
          failure: { at: NOW, reason: nasty },
        })),
      },
      nasty,
    );
    expect(text).toMatch(/^[\x20-\x7e\n]+$/);
    expect(lines(text).length).toBe(lines(describeState({ halted: "x" })).length + 2);
  });
});
