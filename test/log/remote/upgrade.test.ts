import { describe, expect, test } from "vitest";
import {
  encodeUpgradeRefusal,
  encodeUpgradeRequest,
  parseUpgradeAnswer,
  parseUpgradeRequest,
  UPGRADE_ANSWER,
} from "../../../src/log/remote/upgrade.ts";

const END = "\r\n\r\n";
const withoutEnd = (text: string) => {
  expect(text.endsWith(END)).toBe(true);
  return text.slice(0, -END.length);
};
const REQUEST = withoutEnd(encodeUpgradeRequest("/signer", "log.example.org:8443"));
const request = (from: string, to: string) => {
  expect(REQUEST).toContain(from);
  return parseUpgradeRequest(REQUEST.replace(from, to));
};

describe("a request to upgrade", () => {
  test("is what docs/FORMATS.md says, and is read as what was written", () => {
    expect(REQUEST).toBe(
      "GET /signer/log HTTP/1.1\r\nHost: log.example.org:8443\r\nConnection: upgrade\r\nUpgrade: signer-log/1",
    );
    expect(parseUpgradeRequest(REQUEST)).toEqual({ path: "/signer/log", certificate: undefined });
    expect(parseUpgradeRequest(withoutEnd(encodeUpgradeRequest("", "[::1]")))).toMatchObject({
      path: "/log",
    });
  });

  test("as nginx passes it on has the certificate's name, and more", () => {
    const passed =
      "GET /signer/log HTTP/1.1\r\nUpgrade: signer-log/1\r\nConnection: keep-alive, Upgrade\r\nHost: log\r\nSigner-Certificate: CN=enclave\r\nX: y\r\nContent-Length: 0";
    expect(parseUpgradeRequest(passed)).toEqual({ path: "/signer/log", certificate: "CN=enclave" });
  });

  test.each([
    ["GET", "POST"],
    ["GET", "get"],
    ["HTTP/1.1", "HTTP/1.0"],
    ["HTTP/1.1", "HTTP/2"],
    ["/signer/log", "/signer/logs"],
    ["/signer/log", "/signer/log?x"],
    ["/signer/log", "/signer/../log"],
    ["/signer/log", "/./log"],
    ["/signer/log", "//log"],
    ["/signer/log", "/a%2flog"],
    ["/signer/log", "https://x/log"],
    ["Host: log.example.org:8443", "Host: a b"],
    ["Host: log.example.org:8443", "Host: a\r\nHost: b"],
    ["Host: log.example.org:8443\r\n", ""],
    ["Connection", "Transfer-Encoding: chunked\r\nConnection"],
    ["Connection", "Content-Length: 1\r\nConnection"],
    ["Connection", "Content-Length: 0\r\nContent-Length: 0\r\nConnection"],
    ["Connection", "bad header\r\nConnection"],
  ])("with %j as %j is a bad one", (from, to) => expect(request(from, to)).toBe(400));

  test.each([
    ["signer-log/1", "signer-log/2"],
    ["signer-log/1", "websocket"],
    ["signer-log/1", "signer-log/1, h2c"],
    ["signer-log/1", "signer-log/1\r\nUpgrade: h2c"],
    ["Upgrade: signer-log/1", "Accept: x"],
    ["Connection: upgrade", "Connection: close"],
    ["Connection: upgrade", "Connection: upgraded"],
    ["Connection: upgrade", "X: upgrade"],
  ])("with %j as %j is one for something else", (from, to) => expect(request(from, to)).toBe(426));
});

describe("an answer to it", () => {
  const ANSWER = withoutEnd(UPGRADE_ANSWER);
  const answer = (from: string, to: string) => {
    expect(ANSWER).toContain(from);
    return parseUpgradeAnswer(ANSWER.replace(from, to));
  };

  test("upgrades, also as nginx passes it on", () => {
    expect(parseUpgradeAnswer(ANSWER)).toEqual({ kind: "upgraded" });
    expect(answer("Connection: upgrade", "Server: nginx\r\nConnection: UPGRADE")).toEqual({
      kind: "upgraded",
    });
  });

  test.each([400, 426] as const)("that refuses with %d is read as that", (status) => {
    const text = withoutEnd(encodeUpgradeRefusal(status));
    expect(parseUpgradeAnswer(text)).toEqual({ kind: "refused", status, location: undefined });
  });

  test("that redirects says whereto", () => {
    expect(parseUpgradeAnswer("HTTP/1.1 302 Found\r\nLocation: https://x/")).toEqual({
      kind: "refused",
      status: 302,
      location: "https://x/",
    });
  });

  test.each([
    ["signer-log/1", "signer-log/2"],
    ["signer-log/1", "signer-log/1\r\nUpgrade: x"],
    ["Upgrade: signer-log/1", "X: y"],
    ["Connection: upgrade", "Connection: close"],
    ["HTTP/1.1", "HTTP/1.0"],
    ["HTTP/1.1", "HTTP/2"],
    ["HTTP/1.1", "SSH-2.0"],
    ["101", "1010"],
    ["101", "600"],
    ["101 ", ""],
    ["Connection: upgrade", "Connection: upgrade\r\nbroken"],
  ])("with %j as %j is none", (from, to) => expect(answer(from, to)).toBeUndefined());
});
