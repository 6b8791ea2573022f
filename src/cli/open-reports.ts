import type { Server } from "node:net";
import { Fault } from "../outcome.ts";
import { MetricsFile } from "../service/metrics-file.ts";
import { encodeMetrics } from "../service/metrics-text.ts";
import { type ServedState, servedState, stoppedState } from "../service/service-state.ts";
import type { SigningService } from "../service/signing-service.ts";
import { encodeStatusDocument } from "../service/status-document.ts";
import { statusServer, statusSocket } from "../service/status-socket.ts";
import { listen } from "./listening-socket.ts";
import { VERSION } from "./version.ts";

/** How often metrics are written, in ms: no less often than they are commonly collected. */
const METRICS_MS = 15_000;

/** What a service tells of itself beside its work: its status socket and its file of metrics. Neither ever fails the service. */
export interface Reports {
  /** Writes the metrics now, where the configuration says: that may have changed. */
  refresh(): Promise<void>;
  /** Runs `stop`, which ends the service, and writes the metrics a last time. Rejects as `stop` does. */
  close(stop: () => Promise<void>): Promise<void>;
}

/** Begins to report; resolves when the status socket answers, or the journal has why not. */
export async function openReports(service: SigningService): Promise<Reports> {
  const status = await openStatus(service);
  const metrics = new Metrics(service);
  const timer = setInterval(() => void metrics.write(), METRICS_MS);
  void metrics.write();
  return {
    refresh: async () => {
      await metrics.write();
    },
    close: async (stop) => {
      clearInterval(timer);
      status.close();
      const before = await metrics.write();
      await stop();
      if (before !== undefined) metrics.put(stoppedState(service, before));
    },
  };
}

class Metrics {
  readonly #service: SigningService;
  readonly #file = new MetricsFile();
  /** One after the other, or an older state could replace a newer one. */
  #last: Promise<ServedState | undefined> = Promise.resolve(undefined);

  constructor(service: SigningService) {
    this.#service = service;
  }

  /** Writes the state as it is now, and resolves with it; with undefined where no metrics are wanted, or a bug is in the way. */
  write(): Promise<ServedState | undefined> {
    this.#last = this.#last.then(() => this.#write());
    return this.#last;
  }

  /** Writes a state, where the configuration says. */
  put(state: ServedState): void {
    const { config, journal } = this.#service;
    const { metricsFile } = config.service;
    if (metricsFile === undefined) this.#file.remove();
    else this.#file.write(metricsFile, () => encodeMetrics(state), journal);
  }

  async #write(): Promise<ServedState | undefined> {
    const { config, journal } = this.#service;
    if (config.service.metricsFile === undefined) {
      this.#file.remove();
      return undefined;
    }
    try {
      const state = await servedState(this.#service, VERSION);
      this.put(state);
      return state;
    } catch (error) {
      this.#file.fail(error, journal);
      return undefined;
    }
  }
}

async function openStatus(service: SigningService): Promise<Server> {
  const server = statusServer(async () => {
    try {
      return encodeStatusDocument(await servedState(service, VERSION));
    } catch (error) {
      service.journal.error({ err: error }, "internal");
      throw error;
    }
  });
  try {
    const path = statusSocket(service.config.stateDirectory);
    await listen(server, { kind: "path", path, group: undefined });
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    service.journal.warn({ code: error.code, err: error }, `signer status is not answered: ${error.message}`);
  }
  return server;
}
