import { afterEach, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { outcome } from "../support/signing-host.ts";
import { waitFor } from "../support/signing-service.ts";
import { makeSplitHost, startService } from "../support/supervised-service.ts";

// systemd-socket-activate opens the sockets, systemd-notify passes messages on; both are systemd's own.

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const stdin = buildDatabase({ packages: 1, kind: "db" });
const command = "core.db.tar.gz";

test("a signature comes through a socket that systemd has opened, and each socket is its own client's", async () => {
  const host = await makeSplitHost(cleanup);
  const service = await startService(cleanup, host, { clients: ["releng", "repos"] });
  expect(outcome(await service.accept("repos", { command, stdin }))).toBe("signed");
  expect(outcome(await service.accept("releng", { command, stdin }))).toBe("not-permitted 77");
  expect(host.requests()).toMatchObject([
    { kind: "signed", client: "repos" },
    { kind: "refused", client: "releng" },
  ]);
  expect(await service.stop()).toBe(0);
});

test("systemd hears that it is ready, that it reads its configuration again, that it lives, and that it stops", async () => {
  const host = await makeSplitHost(cleanup);
  const service = await startService(cleanup, host, {
    clients: ["repos", "releng"],
    env: { WATCHDOG_USEC: "400000" },
  });
  expect(service.notified()).toEqual([]);
  expect(outcome(await service.accept("repos", { command, stdin }))).toBe("signed");
  const without = (message: string) => service.notified().filter((each) => each !== message);
  await waitFor(() => service.notified().filter((each) => each === "WATCHDOG=1").length > 1);
  expect(without("WATCHDOG=1")).toEqual(["READY=1"]);
  service.signal("SIGHUP");
  await waitFor(() => without("WATCHDOG=1").length >= 3);
  expect(await service.stop()).toBe(0);
  await waitFor(() => without("WATCHDOG=1").length >= 4);
  expect(without("WATCHDOG=1")).toEqual(["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]);
});

test("a client of the rules without a socket of systemd's is not served, and the others are", async () => {
  const host = await makeSplitHost(cleanup);
  const service = await startService(cleanup, host, { clients: ["repos"] });
  expect(outcome(await service.accept("repos", { command, stdin }))).toBe("signed");
  expect(outcome(await host.accept({ client: "releng", command, stdin }))).toBe("service-unavailable 69");
});

test("the sockets are there wherever the options stand", async () => {
  const host = await makeSplitHost(cleanup);
  const args = ["serve", "--config", host.configFile];
  const service = await startService(cleanup, host, { clients: ["repos"], args });
  expect(outcome(await service.accept("repos", { command, stdin }))).toBe("signed");
});
