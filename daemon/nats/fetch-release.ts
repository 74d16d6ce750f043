/** nats-server from the project's official releases, checked against a pinned SHA-256. */
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "./run-tool.ts";

const version = "v2.14.5";
const releases: Readonly<Record<string, { platform: string; sha256: string }>> = {
  "linux-x64": { platform: "linux-amd64", sha256: "5e3b603d47c447bda1f77f9ac16dbf91c90aac4ff3681f8fbbc7201e4ed99355" },
  "linux-arm64": { platform: "linux-arm64", sha256: "673a98d3faa79dde3f9ebf16d6dfac36a5f694e7ad2015e4954dd7939c85cd4c" },
};

/** @returns path of nats-server below `folder` */
export async function fetchRelease(folder: string, signal: AbortSignal): Promise<string> {
  const platform = `${process.platform}-${process.arch}`;
  const release = releases[platform];
  if (release === undefined) throw new Error(`no pinned release for ${platform}`);
  const name = `nats-server-${version}-${release.platform}`;
  const url = `https://github.com/nats-io/nats-server/releases/download/${version}/${name}.tar.gz`;
  const archive = await download(url, signal);
  assertDigest(archive, release.sha256, url);
  const file = join(folder, "release.tar.gz");
  await writeFile(file, archive);
  await runTool("tar", ["-xzf", file, "-C", folder, `${name}/nats-server`], { signal, limit: 20_000 });
  return join(folder, name, "nats-server");
}

async function download(url: string, signal: AbortSignal): Promise<Buffer> {
  try {
    const response = await fetch(url, { signal });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return Buffer.from(await response.arrayBuffer());
  } catch (error) {
    const { message, cause } = error as Error;
    throw new Error(`${url}: ${message}${cause instanceof Error ? ` (${cause.message})` : ""}`, { cause: error });
  }
}

/** @throws Error if the content is not what was pinned */
export function assertDigest(content: Uint8Array, sha256: string, source: string): void {
  const actual = createHash("sha256").update(content).digest("hex");
  if (actual !== sha256) throw new Error(`${source} has SHA-256 ${actual} instead of ${sha256}; it was not used`);
}
