import type { Duplex, Writable } from "node:stream";

/**
 * Passes bytes both ways, each as fast as the slower side takes them. Where one side ends, or breaks, the other is told the end;
 * what that still says is passed on, for `lingerMs` at most. Resolves when both have ended, and destroys both. Never rejects.
 */
export async function passThrough(near: Duplex, far: Duplex, lingerMs: number): Promise<void> {
  const { promise: enough, resolve } = Promise.withResolvers<void>();
  let timer: NodeJS.Timeout | undefined;
  const pass = async (from: Duplex, to: Duplex): Promise<void> => {
    await passOn(from, to).catch(() => undefined); // one that breaks has ended
    to.end();
    timer ??= setTimeout(resolve, lingerMs);
  };
  for (const side of [near, far]) side.on("error", () => undefined);
  const bothEnded = Promise.all([pass(near, far), pass(far, near)]);
  await Promise.race([bothEnded.then(() => Promise.all([written(near), written(far)])), enough]);
  clearTimeout(timer);
  near.destroy();
  far.destroy();
}

/** Until `from` has ended, or `to` takes nothing more. */
async function passOn(from: Duplex, to: Duplex): Promise<void> {
  for await (const chunk of from.iterator({ destroyOnReturn: false })) {
    if (!to.writable) return;
    if (!to.write(chunk)) await taken(to);
  }
}

/** Resolves when `to` takes more, or nothing any more. */
function taken(to: Writable): Promise<void> {
  return settled(to, ["drain", "close"], () => to.destroyed || !to.writableNeedDrain);
}

/** Resolves when all of `to` is written, or it is closed. */
function written(to: Writable): Promise<void> {
  return settled(to, ["finish", "close"], () => to.destroyed || to.writableFinished);
}

function settled(stream: Writable, events: readonly string[], isSo: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of events) stream.removeListener(event, done);
      resolve();
    };
    for (const event of events) stream.on(event, done);
    if (isSo()) done();
  });
}
