import { defineConfig } from "rolldown";

/**
 * Starting from TypeScript sources costs five times the start of Node itself, and ES modules a third of it: so the
 * executables are bundled, as CommonJS (no top-level await in them).
 */
export default defineConfig({
  input: {
    signer: "src/cli/signer.ts",
    "signer-log": "src/cli/signer-log.ts",
    "signer-client": "src/cli/signer-client.ts",
    "signer-repo-add": "src/cli/signer-repo-add.ts",
    "signer-repo-remove": "src/cli/signer-repo-remove.ts",
  },
  platform: "node",
  // openpgp stays a package of its own (LGPL), loaded only where key files are read or written.
  external: ["openpgp"],
  plugins: [
    {
      // ssh2 tries them, and does without: they are not built.
      name: "no-native-parts",
      resolveId: (id) =>
        id === "cpu-features" || id.endsWith("/sshcrypto.node")
          ? { id: "node:not-built", external: true }
          : undefined,
    },
  ],
  output: {
    dir: "dist",
    format: "cjs",
    entryFileNames: "[name].cjs",
    chunkFileNames: "[name]-[hash].cjs",
    cleanDir: true,
    minify: true,
  },
});
