import { extname } from "node:path";
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { z } from "zod";
import { readContent } from "../content.ts";
import { defineTool } from "../tool.ts";

const compress = promisify<Buffer, zlib.ZstdOptions, Buffer>(zlib.zstdCompress);
const fastest = { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } };
/** Of the beginning of a file: a tenth of a millisecond tells how well it compresses. */
const sampleBytes = 16_384;

export default defineTool({
  name: "profile_file",
  description:
    "Says what is known of a file before it is compressed: extension, size, the entropy of its bytes, and what a sample of it saves.",
  parameters: z.strictObject({ path: z.string().min(1) }),
  returns: z.object({
    extension: z.string(),
    size: z.int(),
    size_bucket: z.string(),
    magnitude: z.number().describe("of the size in kB: log10(size + 1) / 3, so 1 kB is 1 and 1 MB is 2"),
    entropy: z.number().describe("bits per byte, 0 to 8"),
    entropy_bucket: z.string(),
    sample_saved_share: z.number().describe("what the fastest compression (zstd 1) saves of the first 16 kB; 0 for an empty file"),
  }),
  idempotent: true,
  timeout: 20,
  async run({ path }, run) {
    const content = await readContent(path, run);
    const entropy = byteEntropy(content);
    const sample = content.subarray(0, sampleBytes);
    const compressed = sample.length === 0 ? sample : await compress(sample, fastest);
    return {
      extension: extname(path).slice(1).toLowerCase() || "none",
      size: content.length,
      size_bucket: bucket(content.length, { under_1k: 1_024, under_8k: 8_192, under_64k: 65_536 }, "over_64k"),
      magnitude: rounded(Math.log10(content.length + 1) / 3),
      entropy: rounded(entropy),
      entropy_bucket: bucket(entropy, { under_4: 4, under_5: 5, under_6: 6, under_7_5: 7.5 }, "over_7_5"),
      sample_saved_share: rounded(sample.length === 0 ? 0 : 1 - compressed.length / sample.length),
    };
  },
});

const rounded = (value: number) => Math.round(value * 1_000) / 1_000;

/** Shannon entropy of the distribution of byte values; 0 for an empty content. */
function byteEntropy(content: Uint8Array): number {
  const counts = new Uint32Array(256);
  for (const byte of content) counts[byte] = (counts[byte] ?? 0) + 1;
  let bits = 0;
  for (const count of counts) {
    if (count > 0) bits -= (count / content.length) * Math.log2(count / content.length);
  }
  return bits;
}

function bucket(value: number, bounds: Readonly<Record<string, number>>, last: string): string {
  return Object.entries(bounds).find(([, bound]) => value < bound)?.[0] ?? last;
}
