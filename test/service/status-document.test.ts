import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { HostState } from "../../src/service/host-state.ts";
import { encodeStatusDocument, parseStatusDocument } from "../../src/service/status-document.ts";
import { clientState, NOW, servedStateOf, withClients } from "./served-state.ts";

const [key] = servedStateOf().keys;
const [remote] = servedStateOf().remoteLogs;
if (key === undefined || remote === undefined) throw new Error("expected a key and a remote log");

const states: readonly [string, HostState][] = [
  ["a service that is well", servedStateOf()],
  [
    "one that has been busy",
    withClients(
      clientState({
        outcomes: new Map([
          ["answered", 3],
          ["over-limit", 1],
        ]),
        signed: 2,
        reissued: 1,
        durationSeconds: 0.25,
      }),
    ),
  ],
  ["no service", { ...servedStateOf(), mode: "standalone", service: undefined }],
  [
    "everything that can be wrong",
    {
      ...servedStateOf({
        halted: "signing was stopped",
        log: { code: "log-broken", reason: "no log" },
        rules: servedStateOf().rules.map((rule) => ({ ...rule, limits: undefined })),
        keys: [
          {
            name: "repo",
            fingerprint: undefined,
            expiresAt: undefined,
            problem: { code: "key-unavailable", reason: "no file" },
          },
        ],
        remoteLogs: [
          {
            ...remote,
            acknowledged: undefined,
            unacknowledged: undefined,
            connected: false,
            failure: { at: NOW, reason: "timed out" },
          },
        ],
      }),
    },
  ],
];

describe("the status document", () => {
  test.each(states)("of %s is read as it was written, from one line of ASCII", (_, state) => {
    const text = encodeStatusDocument(state);
    expect(text).toMatch(/^[\x20-\x7e]+\n$/);
    expect(parseStatusDocument(text)).toEqual(state);
  });

  test("is ASCII whatever a text in it holds", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 50 }), (reason) => {
        const state = servedStateOf({ halted: reason });
        expect(encodeStatusDocument(state)).toMatch(/^[\x20-\x7e]+\n$/);
        expect(parseStatusDocument(encodeStatusDocument(state))).toEqual(state);
      }),
    );
  });

  test("names what is in the way of signing", () => {
    const document = JSON.parse(encodeStatusDocument(servedStateOf({ halted: "stopped" })));
    expect(document.problems).toEqual([{ code: "log-broken", reason: "stopped" }]);
  });

  test("is none where a byte is missing at its end, and never a crash", () => {
    const text = encodeStatusDocument(servedStateOf());
    for (let length = 0; length < text.length; length += 1)
      expect(parseStatusDocument(text.slice(0, length))).toBeUndefined();
  });

  test("may have members, and outcomes, that a reader does not know", () => {
    const document = JSON.parse(encodeStatusDocument(servedStateOf()));
    document.weather = "fine";
    document.service.clients[0].outcomes["a-new-code"] = 1;
    expect(parseStatusDocument(`${JSON.stringify(document)}\n`)).toEqual(servedStateOf());
  });

  test.each([
    ["of another version", { version: 2 }],
    ["without a log", { log: undefined }],
    ["whose time is none", { time: "soon" }],
    ["whose mode is none", { mode: "other" }],
    ["whose counts are negative", { log: { entries: -1, last_entry: NOW } }],
    ["whose problem has no code", { log: { problem: { code: "weather", reason: "rain" } } }],
    ["whose text has no end", { halted: "x".repeat(5000) }],
  ])("is none %s", (_, changes) => {
    const document = { ...JSON.parse(encodeStatusDocument(servedStateOf())), ...changes };
    expect(parseStatusDocument(`${JSON.stringify(document)}\n`)).toBeUndefined();
  });
});
