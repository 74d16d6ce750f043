import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { brotliCompressSync, constants, gzipSync, zstdCompressSync } from "node:zlib";
import { z } from "zod";
import { callTool } from "../../modules/tool/call.ts";
import toolModule from "../../modules/tool/index.ts";
import { loadLibrary } from "../../modules/tool/library.ts";
import { defineTool } from "../../modules/tool/tool.ts";
import { failsWith } from "../harness/fails-with.ts";
import { startModule, type TestModule } from "../harness/module-context.ts";

let folder: string;
let started: TestModule<AsyncDisposable>;
const call = async (name: string, parameters: Record<string, unknown>) =>
  (await started.call("tool:call", { name, arguments: parameters })).result;

before(async () => {
  started = (await startModule(toolModule)) as unknown as TestModule<AsyncDisposable>;
  folder = await mkdtemp(join(tmpdir(), "reprise-tool-"));
  for (const name of ["a", "a/deep", ".git", "node_modules", "a/node_modules"]) await mkdir(join(folder, name));
  const files = {
    "a/deep/x.JSON": "{}",
    "a.txt": "text",
    "a/b.md": "# b",
    ".git/config": "x",
    "node_modules/y.js": "x",
    "a/node_modules/z": "x",
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  await writeFile(join(folder, "empty"), "");
  await writeFile(join(folder, "large.bin"), Buffer.alloc(1_048_577));
  await writeFile(join(folder, "just.bin"), Buffer.alloc(1_048_576));
  await symlink("a.txt", join(folder, "link.txt"));
  await symlink("..", join(folder, "a/loop"));
});
after(async () => {
  await started[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const isOwnFile = async () => false;

describe("tool:list", () => {
  it("describes every shipped tool with JSON Schemas", async () => {
    const { tools } = await started.call("tool:list", {});
    assert.deepEqual(
      tools.map(({ name }: { name: string }) => name),
      ["compress", "list_files", "profile_file"],
    );
    assert.deepEqual(tools[1].parameters.required, ["directory"]);
    assert.equal(tools[0].parameters.properties.method.enum.length, 9);
  });
});

describe("tool:call", () => {
  it("asks for the capability of the tool that is called", () => {
    assert.equal(toolModule.commands["tool:call"]?.capability?.({ name: "compress", arguments: {} }), "tool:compress");
  });

  it("answers an unknown tool, and arguments that do not fit, with what is wrong", async () => {
    await assert.rejects(call("missing", {}), failsWith("TOOL_NOT_FOUND", /missing/));
    await assert.rejects(call("constructor", {}), failsWith("TOOL_NOT_FOUND"));
    await assert.rejects(call("compress", { path: "x", method: "rar" }), failsWith("REQUEST_INVALID", /method/));
    await assert.rejects(call("profile_file", { path: "x", other: 1 }), failsWith("REQUEST_INVALID", /other/));
  });

  it("records each outcome as one small event in the caller's causal tree", async () => {
    const before = started.log.records.length;
    const as = { meta: { id: "REQUEST", causation: "CAUSE", correlation: "ROOT", run: "RUN" } };
    await started.call("tool:call", { name: "profile_file", arguments: { path: join(folder, "a.txt") } }, as);
    await assert.rejects(
      started.call("tool:call", { name: "profile_file", arguments: { path: join(folder, "none") } }, as),
      failsWith("TOOL_FAILED", /ENOENT/),
    );
    const [completed, failed, ...more] = started.log.records.slice(before);
    assert.equal(more.length, 0);
    assert.equal(completed?.type, "tool:completed");
    assert.equal(failed?.type, "tool:failed");
    for (const event of [completed, failed]) assert.deepEqual([event?.causation, event?.correlation, event?.run], ["CAUSE", "ROOT", "RUN"]);
    assert.equal((failed?.data as { code?: string } | undefined)?.code, "TOOL_FAILED");
    assert.ok(JSON.stringify(completed?.data).length < 200);
  });

  it("aborts a tool at its time limit, and when the caller gives up", async () => {
    let aborted = 0;
    const slow = defineTool({
      name: "slow",
      description: "Waits for ever.",
      parameters: z.object({}),
      returns: z.null(),
      idempotent: true,
      timeout: 60,
      run: (_parameters, { signal }) => new Promise<null>(() => signal.addEventListener("abort", () => void aborted++)),
    });
    const call = { arguments: {}, idempotencyKey: undefined, isOwnFile };
    await assert.rejects(
      callTool(slow, { ...call, timeout: 0.02, signal: new AbortController().signal }),
      failsWith("REQUEST_TIMEOUT", /0.02 s/),
    );
    const caller = new AbortController();
    const given = callTool(slow, { ...call, timeout: undefined, signal: caller.signal });
    caller.abort(new Error("gone"));
    await assert.rejects(given, /gone/);
    assert.equal(aborted, 2);
  });
});

describe("the library of tools", () => {
  it("names the file that is not a tool, is named otherwise than its tool, or as a command", async () => {
    const library = await mkdtemp(join(tmpdir(), "reprise-library-"));
    const load = () => loadLibrary(Object.keys(toolModule.commands), pathToFileURL(`${library}/`));
    try {
      await writeFile(join(library, "other.ts"), 'export default { name: "mine", run() {} };');
      await assert.rejects(load(), /other\.ts holds a tool that is named mine/);
      await rm(join(library, "other.ts"));
      await writeFile(join(library, "another.ts"), "export const nothing = 1;");
      await assert.rejects(load(), /another\.ts does not default-export a tool/);
      await rm(join(library, "another.ts"));
      await writeFile(join(library, "call.ts"), 'export default { name: "call", run() {} };');
      await assert.rejects(load(), /call\.ts holds a tool that is named as the command tool:call/);
    } finally {
      await rm(library, { recursive: true });
    }
  });
});

describe("list_files", () => {
  it("lists regular files in the order of their paths, without .git, node_modules, links and files over 1 MB", async () => {
    const { files, skipped } = await call("list_files", { directory: folder });
    const names = files.map(({ path }: { path: string }) => path.slice(folder.length + 1));
    assert.deepEqual(names, ["a.txt", "a/b.md", "a/deep/x.JSON", "empty", "just.bin"]);
    assert.deepEqual(names, [...names].sort());
    assert.deepEqual(files[2], { path: join(folder, "a/deep/x.JSON"), size: 2, extension: "json" });
    assert.equal(files[3].extension, "none");
    assert.equal(skipped, 3);
  });

  it("stops at the limit, which is at most 500", async () => {
    const { files, more } = await call("list_files", { directory: folder, limit: 2 });
    assert.equal(more, true);
    const all = await call("list_files", { directory: folder });
    assert.equal((await call("list_files", { directory: folder, limit: all.files.length })).more, false);
    assert.equal(files.length, 2);
    await assert.rejects(call("list_files", { directory: folder, limit: 501 }), failsWith("REQUEST_INVALID", /limit/));
  });

  it("fails for a directory that is not there", async () => {
    await assert.rejects(call("list_files", { directory: join(folder, "none") }), failsWith("TOOL_FAILED", /there is no folder/));
  });
});

describe("profile_file", () => {
  it("measures the entropy of the bytes, and what a sample of them saves", async () => {
    await writeFile(join(folder, "even.DAT"), Buffer.from(Array.from({ length: 2_048 }, (_, index) => index % 256)));
    const profile = await call("profile_file", { path: join(folder, "even.DAT") });
    const { sample_saved_share, ...known } = profile as { sample_saved_share: number };
    assert.deepEqual(known, {
      extension: "dat",
      size: 2_048,
      size_bucket: "under_8k",
      magnitude: 1.104,
      entropy: 8,
      entropy_bucket: "over_7_5",
    });
    // Even bytes, but a pattern that repeats.
    assert.ok(sample_saved_share > 0.8 && sample_saved_share < 1);
    const empty = await call("profile_file", { path: join(folder, "empty") });
    assert.deepEqual(empty, {
      extension: "none",
      size: 0,
      size_bucket: "under_1k",
      magnitude: 0,
      entropy: 0,
      entropy_bucket: "under_4",
      sample_saved_share: 0,
    });
    await rm(join(folder, "even.DAT"));
  });
});

describe("compress", () => {
  it("is as small as what Node's compressors yield, for each method", async () => {
    const path = join(folder, "a/sample.txt");
    const content = Buffer.from(Array.from({ length: 4_000 }, (_, index) => `line ${index * index}\n`).join(""));
    await writeFile(path, content);
    const bytes: Record<string, number> = {};
    for (const method of ["store", "gzip-1", "gzip-6", "gzip-9", "brotli-4", "brotli-9", "zstd-3", "zstd-9", "zstd-19"]) {
      const result = await call("compress", { path, method });
      assert.equal(result.method, method);
      assert.equal(result.original_bytes, content.length);
      assert.equal(result.saved_share, 1 - result.compressed_bytes / content.length);
      assert.ok(result.milliseconds >= 0);
      bytes[method] = result.compressed_bytes;
    }
    assert.equal(bytes.store, content.length);
    assert.equal(bytes["gzip-9"], gzipSync(content, { level: 9 }).length);
    assert.equal(bytes["zstd-3"], zstdCompressSync(content).length);
    const brotli = brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }).length;
    assert.ok(Math.abs((bytes["brotli-9"] ?? 0) / brotli - 1) < 0.02);
    assert.ok((bytes["zstd-19"] ?? 0) < (bytes["zstd-3"] ?? 0) && (bytes["gzip-9"] ?? 0) < (bytes["gzip-1"] ?? 0));
    await rm(path);
  });

  it("says 0 for an empty file, and refuses what is not a regular file", async () => {
    assert.equal((await call("compress", { path: join(folder, "empty"), method: "gzip-6" })).saved_share, 0);
    await assert.rejects(call("compress", { path: folder, method: "store" }), failsWith("TOOL_FAILED", /not a regular file/));
    await assert.rejects(call("compress", { path: "/dev/zero", method: "store" }), failsWith("TOOL_FAILED", /not a regular file/));
  });
});
