/**
 * Finds a nats-server that is new enough, or brings one into the project's cache: the PATH, the cache, the distribution's
 * package, the official release, in this order. The system itself is never changed.
 */
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import type { Logger } from "pino";
import { fetchPackage } from "./fetch-package.ts";
import { fetchRelease } from "./fetch-release.ts";
import { runTool } from "./run-tool.ts";
import { isNewEnough, oldestVersion, parseVersion, type Version } from "./server-version.ts";

export interface FoundServer {
  readonly path: string;
  readonly version: string;
}

/** @returns path of a nats-server in or below `folder` */
export type Fetch = (folder: string, signal: AbortSignal) => Promise<string>;

export interface FindOptions {
  /** The project's cache; made if it is missing. */
  readonly cacheDirectory: string;
  readonly log: Logger;
  readonly signal?: AbortSignal;
  /** Value of PATH; default: this process's own. */
  readonly path?: string;
  /** Ways to bring a server, by name, tried in order. */
  readonly sources?: Readonly<Record<string, Fetch>>;
}

const shippedSources: Readonly<Record<string, Fetch>> = {
  "package of the distribution": fetchPackage,
  "official release": fetchRelease,
};

/** Milliseconds that bringing a server from one source may take. */
const sourceLimit = 120_000;

/** @throws Error telling all that was tried and what to do */
export async function findNatsServer(options: FindOptions): Promise<FoundServer> {
  const { cacheDirectory, log, signal = new AbortController().signal, sources = shippedSources } = options;
  const cached = join(cacheDirectory, "nats-server");
  const candidates = (options.path ?? process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, "nats-server"));
  const steps: Record<string, () => Promise<FoundServer>> = {
    PATH: () => firstUsable(candidates, signal),
    cache: () => checkServer(cached, signal),
  };
  for (const [name, fetch] of Object.entries(sources)) {
    steps[name] = () => intoCache(cacheDirectory, cached, fetch, AbortSignal.any([signal, AbortSignal.timeout(sourceLimit)]));
  }

  const tried: string[] = [];
  for (const [step, take] of Object.entries(steps)) {
    signal.throwIfAborted();
    try {
      const found = await take();
      log.info({ step, ...found }, "found a NATS server");
      return found;
    } catch (error) {
      signal.throwIfAborted();
      const outcome = (error as Error).message;
      log.info({ step, outcome }, "looked for a NATS server");
      tried.push(`  ${step}: ${outcome}`);
    }
  }
  const install =
    process.platform === "darwin" ? "run `brew install nats-server`" : "put nats-server (https://nats.io/download) on the PATH";
  throw new Error(
    `no nats-server ${oldestVersion.join(".")} or newer was found. Tried:\n${tried.join("\n")}\n` +
      `Connect to the network and start again, or ${install}, or use a server of your own with --nats-url.`,
  );
}

async function firstUsable(paths: readonly string[], signal: AbortSignal): Promise<FoundServer> {
  const reasons: string[] = [];
  for (const path of paths) {
    try {
      return await checkServer(path, signal);
    } catch (error) {
      if ((error as Error).cause !== "missing") reasons.push((error as Error).message);
    }
  }
  throw new Error(reasons.join("; ") || "no nats-server");
}

/** A torn file does not tell a version, so it does not pass. */
async function checkServer(path: string, signal: AbortSignal): Promise<FoundServer> {
  const output = await runTool(path, ["--version"], { signal, limit: 5_000 });
  const version: Version | undefined = parseVersion(output);
  if (version === undefined) throw new Error(`${path} tells no version`);
  if (!isNewEnough(version)) throw new Error(`${path} is ${version.join(".")}, older than ${oldestVersion.join(".")}`);
  return { path, version: version.join(".") };
}

/** Each process works in a folder of its own and renames the finished file into place: the last one wins, all are right. */
async function intoCache(cacheDirectory: string, cached: string, fetch: Fetch, signal: AbortSignal): Promise<FoundServer> {
  await mkdir(cacheDirectory, { recursive: true });
  const folder = await mkdtemp(join(cacheDirectory, "nats-download-"));
  try {
    const fetched = await fetch(folder, signal);
    const { version } = await checkServer(fetched, signal);
    await rename(fetched, cached);
    return { path: cached, version };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
