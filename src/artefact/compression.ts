import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { Budget, type Expander, type ExpansionLimits, type PieceSink } from "./expansion.ts";
import { GzipFormat } from "./gzip.ts";
import { StreamExpander } from "./stream-expander.ts";
import { ZSTD_MAX_WINDOW_LOG, ZstdFormat } from "./zstd-frame.ts";

/**
 * `maxBytes`: pacman refuses to download a larger database. `maxExpandedBytes`: three times the largest file list
 * database there is. `maxExpansionRatio`: databases reach 4 to 20, deflate's own ceiling is 1032.
 */
export const DEFAULT_LIMITS: ExpansionLimits = {
  maxBytes: 128 * 1024 * 1024,
  maxExpandedBytes: 1024 * 1024 * 1024,
  maxExpansionRatio: 100,
};

/** Bytes taken from a decompressor at a time: so few that those that wait for the garbage collector do not add up. */
const PIECE_BYTES = 128 * 1024;

/** Passes an uncompressed database on as it is. */
export function expandNothing(sink: PieceSink, limits: ExpansionLimits): Expander {
  const budget = new Budget(limits);
  return {
    push: async (chunk) => budget.receive(chunk.length) ?? budget.expand(chunk.length) ?? sink(chunk),
    finish: async () => undefined,
    close: () => {},
  };
}

/** Expands exactly one gzip member (RFC 1952) with nothing after it. */
export function expandGzip(sink: PieceSink, limits: ExpansionLimits): Expander {
  const stream = createGunzip({ chunkSize: PIECE_BYTES, rejectGarbageAfterEnd: true });
  return new StreamExpander(stream, new GzipFormat(), sink, limits);
}

/** Expands exactly one zstd frame (RFC 8878) with a bounded window and nothing after it. */
export function expandZstd(sink: PieceSink, limits: ExpansionLimits): Expander {
  const stream = createZstdDecompress({
    chunkSize: PIECE_BYTES,
    params: { [constants.ZSTD_d_windowLogMax]: ZSTD_MAX_WINDOW_LOG },
  });
  return new StreamExpander(stream, new ZstdFormat(limits.maxExpandedBytes), sink, limits);
}
