import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import pino from "pino";
import { assertDigest } from "../../daemon/nats/fetch-release.ts";
import { findNatsServer } from "../../daemon/nats/find-server.ts";
import { isNewEnough, parseVersion } from "../../daemon/nats/server-version.ts";
import { natsBinary } from "../harness/nats-binary.ts";

const log = pino({ level: "silent" });
let folder: string;
let bin: string;
let cacheDirectory: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "reprise-find-"));
  bin = join(folder, "bin");
  cacheDirectory = join(folder, "cache");
  await mkdir(bin);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function script(path: string, version: string): Promise<string> {
  await writeFile(path, `#!/bin/sh\necho "nats-server: v${version}"\n`);
  await chmod(path, 0o755);
  return path;
}
const fetchScript = (version: string) => (into: string) => script(join(into, "fetched"), version);
const unreachable = () => Promise.reject(new Error("network is unreachable"));

test("versions are parsed and compared by number", () => {
  assert.deepEqual(parseVersion("nats-server: v2.14.5\n"), [2, 14, 5]);
  assert.deepEqual(parseVersion("2.15.1-beta.1"), [2, 15, 1]);
  assert.equal(parseVersion("hello"), undefined);
  assert.ok(isNewEnough([2, 14, 0]) && isNewEnough([2, 15, 1]) && isNewEnough([3, 0, 0]));
  assert.ok(!isNewEnough([2, 9, 10]) && !isNewEnough([1, 99, 0]));
});

test("a new enough server on the PATH is taken, and an old one before it passed over", async () => {
  const old = join(folder, "old");
  await mkdir(old);
  await script(join(old, "nats-server"), "2.9.10");
  await copyFile(await natsBinary(), join(bin, "nats-server"));
  const found = await findNatsServer({ cacheDirectory, log, path: `${old}:${bin}`, sources: {} });
  assert.equal(found.path, join(bin, "nats-server"));
});

test("with nothing on the PATH a server is brought into the cache once", async () => {
  const sources = { mirror: fetchScript("2.15.1") };
  const first = await findNatsServer({ cacheDirectory, log, path: bin, sources });
  assert.deepEqual(first, { path: join(cacheDirectory, "nats-server"), version: "2.15.1" });
  assert.deepEqual(await findNatsServer({ cacheDirectory, log, path: bin, sources: { mirror: unreachable } }), first);
  assert.deepEqual(await readdir(cacheDirectory), ["nats-server"]);
});

test("a torn file in the cache is replaced", async () => {
  const cached = join(cacheDirectory, "nats-server");
  await mkdir(cacheDirectory);
  await copyFile(await natsBinary(), cached);
  await truncate(cached, 100_000);
  const found = await findNatsServer({ cacheDirectory, log, path: bin, sources: { mirror: fetchScript("2.15.1") } });
  assert.deepEqual(found, { path: cached, version: "2.15.1" });
  assert.match(await readFile(cached, "utf8"), /^#!/);
});

test("several processes may fill the cache at once", async () => {
  const sources = { mirror: fetchScript("2.15.1") };
  const found = await Promise.all(Array.from({ length: 8 }, () => findNatsServer({ cacheDirectory, log, path: bin, sources })));
  assert.equal(new Set(found.map(({ path }) => path)).size, 1);
  assert.deepEqual(await readdir(cacheDirectory), ["nats-server"]);
});

test("when all fails the message tells every step and what to do", async () => {
  await script(join(bin, "nats-server"), "2.9.10");
  const sources = { mirror: unreachable, other: fetchScript("2.10.27") };
  await assert.rejects(findNatsServer({ cacheDirectory, log, path: bin, sources }), (error: Error) => {
    for (const part of [
      /PATH: .*2\.9\.10, older than 2\.14/,
      /cache: /,
      /mirror: network is unreachable/,
      /other: .*2\.10\.27/,
      /--nats-url/,
    ]) {
      assert.match(error.message, part);
    }
    return true;
  });
  assert.deepEqual(await readdir(cacheDirectory), []);
});

test("an aborted search ends and leaves nothing behind", async () => {
  const abort = new AbortController();
  const hanging = (_: string, signal: AbortSignal) =>
    new Promise<string>((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      abort.abort();
    });
  await assert.rejects(findNatsServer({ cacheDirectory, log, path: bin, sources: { hanging }, signal: abort.signal }), {
    name: "AbortError",
  });
  assert.deepEqual(await readdir(cacheDirectory), []);
});

test("an archive that is not the pinned one is refused", () => {
  assert.throws(() => assertDigest(Buffer.from("x"), "00", "archive"), /SHA-256/);
});
