/**
 * What has to be undone when a test, a suite or the demo ends, however it ends: folders, servers, agents.
 *
 *     const cleanup = new Cleanup();
 *     afterAll(() => cleanup.run());
 *     const folder = await tempDir(cleanup);
 */
export class Cleanup {
  readonly #actions: (() => unknown)[] = [];

  /** Registers an action; it may be asynchronous. */
  add(action: () => unknown): void {
    this.#actions.push(action);
  }

  /** Runs every action once, the last registered first, also where one of them throws; then throws the first error. */
  async run(): Promise<void> {
    const errors: unknown[] = [];
    for (let action = this.#actions.pop(); action !== undefined; action = this.#actions.pop()) {
      try {
        await action();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
