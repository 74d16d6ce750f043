import assert from "node:assert/strict";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import pino from "pino";
import { startDaemon } from "../../daemon/daemon.ts";
import { startTestDaemon } from "../harness/daemon.ts";
import { temporaryFolder } from "../harness/git.ts";

describe("the daemon's own files", () => {
  it("are neither listed nor opened by tools, also not through a link, so that its locks stay held", async (t) => {
    await using test = await startTestDaemon();
    const { data } = test.config;
    const elsewhere = await temporaryFolder(t);
    await symlink(join(data, "owner.lock"), join(elsewhere, "link"));
    for (const path of [join(data, "owner.lock"), join(data, "events.sqlite"), join(data, "nats", "password"), join(elsewhere, "link")]) {
      assert.equal(await test.codeOf("tool:call", { name: "profile_file", arguments: { path } }), "TOOL_FAILED", path);
      assert.equal(await test.codeOf("tool:call", { name: "compress", arguments: { path, method: "store" } }), "TOOL_FAILED", path);
    }
    const { result } = await test.ask<{ result: { files: { path: string }[] } }>("tool:call", {
      name: "list_files",
      arguments: { directory: join(data, "..") },
    });
    assert.deepEqual(result.files, []);
    const log = pino({ level: "silent" });
    await assert.rejects(startDaemon(test.config, log, new AbortController().signal), { name: "OwnedElsewhereError" });
    assert.equal((await test.ask("system:ping")).pong, true);
  });

  it("cannot be put where no folder can be made", async () => {
    const config = { data: "/proc/reprise" };
    await assert.rejects(startTestDaemon({ config }), { name: "ConfigError" });
    await assert.rejects(startTestDaemon({ config: { compositions: "/proc/reprise" } }), /no folder can be made at \/proc\/reprise/);
  });
});
