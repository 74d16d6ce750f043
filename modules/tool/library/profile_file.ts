import { extname } from "node:path";
import { z } from "zod";
import { readContent } from "../content.ts";
import { defineTool } from "../tool.ts";

export default defineTool({
  name: "profile_file",
  description:
    "Says what is known of a file before it is compressed: extension, size, and the entropy of its bytes, each also as a bucket.",
  parameters: z.strictObject({ path: z.string().min(1) }),
  returns: z.object({
    extension: z.string(),
    size: z.int(),
    size_bucket: z.string(),
    entropy: z.number().describe("bits per byte, 0 to 8"),
    entropy_bucket: z.string(),
  }),
  idempotent: true,
  timeout: 20,
  async run({ path }, run) {
    const content = await readContent(path, run);
    const entropy = byteEntropy(content);
    return {
      extension: extname(path).slice(1).toLowerCase() || "none",
      size: content.length,
      size_bucket: bucket(content.length, { under_1k: 1_024, under_8k: 8_192, under_64k: 65_536 }, "over_64k"),
      entropy: Math.round(entropy * 1_000) / 1_000,
      entropy_bucket: bucket(entropy, { under_4: 4, under_5: 5, under_6: 6, under_7_5: 7.5 }, "over_7_5"),
    };
  },
});

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
