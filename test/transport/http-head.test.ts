import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { parseHead, readHead } from "../../src/transport/http-head.ts";

const HEAD = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x";

describe("a head of HTTP", () => {
  test("is read whatever the pieces it comes in, and what follows stays in the stream", async () => {
    const bytes = Buffer.from(`${HEAD}\r\n\r\nrest\r\n\r\n`);
    for (let at = 1; at < bytes.length; at++) {
      const stream = new PassThrough();
      stream.write(bytes.subarray(0, at));
      const head = readHead(stream, 100);
      stream.end(bytes.subarray(at));
      expect(await head, `${at}`).toBe(HEAD);
      expect(Buffer.concat(await stream.toArray()).toString(), `${at}`).toBe("rest\r\n\r\n");
    }
  });

  test("may have so many bytes and no more", async () => {
    for (const [limit, expected] of [
      [HEAD.length, HEAD],
      [HEAD.length - 1, undefined],
    ] as const) {
      const stream = new PassThrough();
      stream.write(`${HEAD}\r\n\r\n`);
      expect(await readHead(stream, limit)).toBe(expected);
    }
    const endless = new PassThrough();
    const head = readHead(endless, 100);
    endless.write("x".repeat(101));
    expect(await head).toBeUndefined();
  });

  test("that does not come to its end is none", async () => {
    const [cut, broken, gone] = [new PassThrough(), new PassThrough(), new PassThrough()];
    broken.on("error", () => undefined);
    const heads = [cut, broken].map((stream) => readHead(stream, 100));
    cut.end(`${HEAD}\r\n`);
    broken.destroy(new Error("broken"));
    gone.destroy();
    expect(await Promise.all([...heads, readHead(gone, 100)])).toEqual([undefined, undefined, undefined]);
  });

  test("has a first line, and fields whose names know no case", () => {
    const head = parseHead("GET / HTTP/1.1\r\nHost:\ta \r\nX-Y: 1\r\nx-y:2\r\nEmpty:");
    expect(head?.start).toBe("GET / HTTP/1.1");
    expect([...(head?.fields ?? [])]).toEqual([
      ["host", "a"],
      ["x-y", "1, 2"],
      ["empty", ""],
    ]);
  });

  test.each([
    "",
    "\r\nGET / HTTP/1.1",
    "GET / HTTP/1.1\r\n folded: x",
    "GET / HTTP/1.1\r\nHost : a",
    "GET / HTTP/1.1\r\n: a",
    "GET / HTTP/1.1\r\nHost",
    "GET / HTTP/1.1\r\nHost: a\nUpgrade: b",
    "GET / HTTP/1.1\r\nHost: a\rb",
    "GET / HTTP/1.1\r\nHost: a\0",
    "GET / HTTP/1.1\nHost: a",
    "GET /\x80 HTTP/1.1",
    "GET / HTTP/1.1\r\nH\xe9: a",
    "GET / HTTP/1.1\r\n",
  ])("is not %j", (text) => expect(parseHead(text)).toBeUndefined());
});
