import { describe, expect, test } from "vitest";
import {
  isUpgradeAnswer,
  judgeUpgradeRequest,
  upgradeFields,
  upgradePath,
} from "../../../src/log/remote/upgrade.ts";

// What heads say. That they are read strictly, by node:http: https-connection.test.ts, copy/http-receiver.test.ts.

type Fields = Readonly<Record<string, string[] | undefined>>;

const REQUEST = { method: "GET", url: "/signer/log", httpVersion: "1.1" };
const FIELDS = { host: ["log.example.org:8443"], connection: ["upgrade"], upgrade: ["signer-log/1"] };
const judge = (changed: Partial<typeof REQUEST>, fields: Fields = {}) =>
  judgeUpgradeRequest({ ...REQUEST, ...changed, headersDistinct: { ...FIELDS, ...fields } });

describe("a request to upgrade", () => {
  test("asks at the url's path, whether it has a slash at its end or not, and its host", () => {
    for (const url of ["https://log.example.org:8443/signer", "https://log.example.org:8443/signer/"]) {
      expect(upgradePath(new URL(url))).toBe("/signer/log");
      expect(Object.entries(upgradeFields(new URL(url)))).toEqual([
        ["Host", "log.example.org:8443"],
        ["Connection", "upgrade"],
        ["Upgrade", "signer-log/1"],
      ]);
    }
    expect(upgradePath(new URL("https://[::1]"))).toBe("/log");
    expect(upgradeFields(new URL("https://[::1]"))).toMatchObject({ Host: "[::1]" });
  });

  test("is one, with the certificate's name where nginx passes it on, and more", () => {
    expect(judge({})).toEqual({ path: "/signer/log", certificate: undefined });
    expect(judge({ url: "/log" })).toMatchObject({ path: "/log" });
    const passed = { "signer-certificate": ["CN=enclave"], x: ["y"], "content-length": ["0"] };
    expect(judge({}, passed)).toEqual({ path: "/signer/log", certificate: "CN=enclave" });
    expect(judge({}, { "signer-certificate": ["CN=a", "CN=b"] })).toMatchObject({
      certificate: "CN=a, CN=b",
    });
  });

  test.each([
    { method: "POST" },
    { method: "CONNECT" },
    { httpVersion: "1.0" },
    { httpVersion: "2.0" },
    { url: "/signer/logs" },
    { url: "/signer/log?x" },
    { url: "/signer/log/" },
    { url: "/signer/../log" },
    { url: "/./log" },
    { url: "//log" },
    { url: "/a%2flog" },
    { url: "/a\x80/log" },
    { url: "https://x/log" },
    { url: "log" },
    { url: "" },
  ])("with %j is a bad one", (changed) => expect(judge(changed)).toBe(400));

  test.each<Fields>([
    { host: ["a b"] },
    { host: [""] },
    { host: ["a", "b"] },
    { host: ["a", "a"] },
    { host: undefined },
    { "transfer-encoding": ["chunked"] },
    { "content-length": ["1"] },
    { "content-length": ["00"] },
    { "content-length": ["0", "0"] },
  ])("with the fields %j is a bad one", (fields) => expect(judge({}, fields)).toBe(400));

  test.each([
    [["signer-log/2"]],
    [["websocket"]],
    [["signer-log/1, h2c"]],
    [["signer-log/1", "h2c"]],
    [["signer-log/1", "signer-log/1"]],
    [undefined],
  ])("to %j is one for something else", (upgrade) => expect(judge({}, { upgrade })).toBe(426));
});

describe("an answer that upgrades", () => {
  const answer = (upgrade: string[] | undefined, httpVersion = "1.1") =>
    isUpgradeAnswer({ httpVersion, headersDistinct: { connection: ["upgrade"], upgrade } });

  test("does so to the remote log's protocol", () => expect(answer(["signer-log/1"])).toBe(true));

  test.each([
    [["signer-log/2"]],
    [["signer-log/1, x"]],
    [["signer-log/1", "x"]],
    [["Signer-Log/1"]],
    [undefined],
  ])("or to %j, which it is not", (upgrade) => expect(answer(upgrade)).toBe(false));

  test.each(["1.0", "2.0"])("is none of HTTP/%s", (version) =>
    expect(answer(["signer-log/1"], version)).toBe(false),
  );
});
