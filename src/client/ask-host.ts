import { isRefusal, type Refusal } from "../outcome.ts";
import { encodeRequest, type Request } from "../request/request.ts";
import type { SshClientConfig } from "./client-config.ts";
import { withPatience } from "./patience.ts";
import { remoteRefusal } from "./remote-outcome.ts";
import { connectToHost } from "./signing-host.ts";

/** Longest text that is taken, in bytes: a certificate or a status. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/** Asks the host for a key or its status: what it answers, raw, or its refusal. Faults as `signFiles`. */
export async function askHost(
  config: SshClientConfig,
  request: Extract<Request, { readonly kind: "key" | "status" }>,
  signal: AbortSignal,
): Promise<Uint8Array | Refusal> {
  const answer = await withPatience(
    async () => {
      const connection = await connectToHost(config, signal);
      try {
        const options = { maxOutputBytes: MAX_ANSWER_BYTES, signal };
        const result = await connection.run(encodeRequest(request), nothing(), options);
        return result.exitStatus === 0 ? { output: result.output } : remoteRefusal(result);
      } finally {
        await connection.close();
      }
    },
    { waitMs: config.waitMs, signal },
  );
  return isRefusal(answer) ? answer : answer.output;
}

async function* nothing(): AsyncGenerator<Uint8Array, void, undefined> {}
