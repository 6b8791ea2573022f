import { defineConfig } from "rolldown";

/** One file per executable: starting from TypeScript sources costs five times the start of Node itself. */
export default defineConfig({
  input: { signer: "src/cli/signer.ts", "signer-log": "src/cli/signer-log.ts" },
  platform: "node",
  // openpgp stays a package of its own (LGPL), loaded only where key files are read or written.
  external: ["openpgp"],
  output: { dir: "dist", format: "esm", cleanDir: true, minify: true },
});
