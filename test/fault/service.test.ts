import { setTimeout as delay } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { ask } from "../service/conversation.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { rule } from "../support/signing-host.ts";
import { startSigningService } from "../support/signing-service.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const ROUNDS = 100;
const LIMIT = 20;
/** Requests that each client has under way at any time. */
const AT_ONCE = 4;

test("killed a hundred times under load, each signature that was delivered has its entry, and no limit is passed", async () => {
  const rules =
    rule({ id: "many", type: "db" }) +
    rule({ id: "few", client: "releng", type: "db", limits: [`${LIMIT} per day`] });
  const service = await startSigningService(cleanup, { rules });
  const delivered = { repos: [] as string[], releng: [] as string[] };
  let seed = 0;

  async function load(client: "repos" | "releng", isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      seed += 1;
      const bytes = buildDatabase({ packages: 1, kind: "db", seed });
      try {
        const { output } = await ask(service.socket(client), "core.db.tar.gz", bytes);
        if (output.length > 0) delivered[client].push(output.toString("base64"));
      } catch {
        await delay(5); // nobody is there
      }
    }
  }

  for (let round = 0; round < ROUNDS; round += 1) {
    let isOver = false;
    const loads = (["repos", "releng"] as const).flatMap((client) =>
      Array.from({ length: AT_ONCE }, () => load(client, () => isOver)),
    );
    await delay(10 + ((round * 7) % 100));
    expect(await service.stop("SIGKILL")).toBe("SIGKILL");
    isOver = true;
    await Promise.all(loads);
    await service.restart();
  }

  const signed = service.host.requests().filter((entry) => entry.kind === "signed");
  const signatures = new Set(signed.map(({ signature }) => signature));
  for (const client of ["repos", "releng"] as const) {
    expect(delivered[client].filter((signature) => !signatures.has(signature))).toEqual([]);
    expect(delivered[client].length, `${client} had some signed`).toBeGreaterThan(0);
  }
  expect(signed.filter(({ client }) => client === "releng").length).toBeLessThanOrEqual(LIMIT);
}, 600_000);
