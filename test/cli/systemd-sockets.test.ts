import { describe, expect, test } from "vitest";
import { inheritedSockets } from "../../src/cli/systemd-sockets.ts";
import { Fault } from "../../src/outcome.ts";

const PID = 4242;

function socketsOf(listenFds?: string, listenFdNames?: string, listenPid: string | undefined = String(PID)) {
  try {
    return [...inheritedSockets({ listenPid, listenFds, listenFdNames }, PID)];
  } catch (error) {
    return error instanceof Fault ? error.code : error;
  }
}

test("sockets are numbered from 3 on, in the order of their names", () => {
  expect(socketsOf("1", "sender")).toEqual([["sender", 3]]);
  expect(socketsOf("3", "repos:releng:sender")).toEqual([
    ["repos", 3],
    ["releng", 4],
    ["sender", 5],
  ]);
});

test("none are there where systemd opened none, or opened them for another process", () => {
  expect(socketsOf()).toEqual([]);
  expect(socketsOf("0", "")).toEqual([]);
  for (const pid of ["4243", "04242", " 4242", "", "-1"]) expect(socketsOf("1", "sender", pid)).toEqual([]);
  expect([...inheritedSockets({ listenPid: undefined, listenFds: "1", listenFdNames: "a" }, PID)]).toEqual(
    [],
  );
});

describe("what does not fit together is a mistake, not silence:", () => {
  test.each<[string | undefined, string | undefined]>([
    ["", "sender"],
    ["-1", "sender"],
    ["1.0", "sender"],
    ["01", "sender"],
    ["0x1", "sender"],
    ["1025", Array.from({ length: 1025 }, (_, i) => `n${i}`).join(":")],
    ["99999", "sender"],
    ["1", undefined],
    ["1", ""],
    ["1", "a:b"],
    ["2", "sender"],
    ["2", "sender:"],
    ["2", "sender:sender"],
    ["1", "a name"],
    ["1", "\x1b[31m"],
  ])("LISTEN_FDS %j and LISTEN_FDNAMES %j", (fds, names) => {
    expect(socketsOf(fds, names)).toBe("bad-configuration");
  });
});
