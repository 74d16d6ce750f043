import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { z } from "zod";
import { readContent } from "../content.ts";
import { defineTool } from "../tool.ts";

const gzip = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gzip);
const brotli = promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliCompress);
const zstd = promisify<Buffer, zlib.ZstdOptions, Buffer>(zlib.zstdCompress);

const gzipAt = (level: number) => (content: Buffer) => gzip(content, { level });
const brotliAt = (quality: number) => (content: Buffer) =>
  brotli(content, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: quality, [zlib.constants.BROTLI_PARAM_SIZE_HINT]: content.length } });
const zstdAt = (level: number) => (content: Buffer) =>
  zstd(content, { params: { [zlib.constants.ZSTD_c_compressionLevel]: level }, pledgedSrcSize: content.length });

const compressors = {
  store: async (content: Buffer) => content,
  "gzip-1": gzipAt(1),
  "gzip-6": gzipAt(6),
  "gzip-9": gzipAt(9),
  "brotli-4": brotliAt(4),
  "brotli-9": brotliAt(9),
  "zstd-3": zstdAt(3),
  "zstd-9": zstdAt(9),
  "zstd-19": zstdAt(19),
};
const methods = Object.keys(compressors) as [keyof typeof compressors, ...(keyof typeof compressors)[]];

export default defineTool({
  name: "compress",
  description: "Compresses a file's content in memory and says how small it became and how long that took. The file stays as it is.",
  parameters: z.strictObject({ path: z.string().min(1), method: z.enum(methods) }),
  returns: z.object({
    method: z.enum(methods),
    original_bytes: z.int(),
    compressed_bytes: z.int(),
    saved_share: z.number().describe("1 − compressed / original; negative when it grew, 0 for an empty file"),
    milliseconds: z.number().describe("of the compression alone, without reading"),
  }),
  idempotent: true,
  timeout: 60,
  async run({ path, method }, run) {
    const content = await readContent(path, run);
    const begun = performance.now();
    const compressed = await compressors[method](content);
    const milliseconds = performance.now() - begun;
    return {
      method,
      original_bytes: content.length,
      compressed_bytes: compressed.length,
      saved_share: content.length === 0 ? 0 : 1 - compressed.length / content.length,
      milliseconds: Math.round(milliseconds * 1_000) / 1_000,
    };
  },
});
