import { join } from "node:path";
import { runOk } from "../../support/run.ts";

/** The verifier in Python beside this file, which shares nothing with what is tested. */
export const SECOND = join(import.meta.dirname, "independent", "verify.py");

/** What it says of one request. */
export interface Answer {
  readonly ok: boolean;
  readonly [member: string]: unknown;
}

/** Its answers to requests of its `batch`, in their order: one process for all of them. */
export async function askSecond(requests: readonly object[]): Promise<readonly Answer[]> {
  const stdin = requests.map((request) => `${JSON.stringify(request)}\n`).join("");
  const stdout = await runOk("python3", ["-B", SECOND, "batch"], { stdin });
  const answers = stdout
    .toString()
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Answer);
  if (answers.length !== requests.length) throw new Error("an answer to each request expected");
  return answers;
}
