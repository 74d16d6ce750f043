import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { projectFolder } from "../../daemon/project.ts";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";

const fileCount = 8;
let daemon: TestDaemon;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "reprise-demo-"));
  await mkdir(join(folder, "files"));
  for (let index = 0; index < fileCount; index++) {
    await writeFile(join(folder, "files", `${index}.txt`), `line ${index} of a text that repeats itself\n`.repeat(50 * (index + 1)));
  }
  daemon = await startTestDaemon();
});
after(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const environment = (more: Record<string, string>) => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("REPRISE_"))),
  ...more,
});
const program = join(projectFolder, "daemon", "cli", "main.ts");
const demo = async (argv: string[], env: Record<string, string>) => {
  const { stdout } = await promisify(execFile)(process.execPath, [program, "demo", ...argv], { cwd: folder, env: environment(env) });
  return stdout;
};

describe("the demo", () => {
  it("learns on real files, compares with every fixed choice, and goes on from what it learned", async () => {
    const env = { REPRISE_DATA: daemon.config.data };
    const first = JSON.parse(await demo(["files", "--json"], env));
    assert.equal(first.files, fileCount);
    assert.equal(first.outcomes_before, 0);
    assert.equal(first.decisions, fileCount);
    assert.equal(first.fixed.length, 9);
    for (const row of [first.learned, ...first.fixed]) assert.ok(row.mean_reward <= first.best_possible.mean_reward + 1e-12, row.choice);
    const store = first.fixed.find(({ choice }: { choice: string }) => choice === "store");
    assert.equal(store.saved_share, 0);

    const text = await demo(["files"], env);
    assert.match(text, /fewer files than methods/);
    assert.match(text, new RegExp(`Starts from what ${fileCount} earlier outcomes taught`));
    assert.match(text, new RegExp(`start from ${2 * fileCount} outcomes`));

    const [command, ...argv] = first.git_log.split(" ");
    const { stdout } = await promisify(execFile)(command, argv);
    assert.equal(stdout.match(new RegExp(`Run: ${first.run_id}`, "g"))?.length, fileCount);
  });

  it("says why there is nothing to learn from, as wrong usage", async () => {
    await mkdir(join(folder, "empty"));
    await mkdir(join(folder, "large"));
    await writeFile(join(folder, "large", "1"), Buffer.alloc(1_048_577));
    for (const [directory, reason] of [
      ["empty", /There is no file to learn from below \S+empty\. Folders named/],
      ["absent", /Nothing to learn from: there is no folder \S+absent\./],
      ["large", /There is no file to learn from below \S+large; passed over: 1, larger than 1 MB/],
    ] as const) {
      await assert.rejects(demo([directory], { REPRISE_DATA: daemon.config.data }), (error: { code: number; stderr: string }) => {
        assert.equal(error.code, 2);
        assert.match(error.stderr, reason);
        return true;
      });
    }
  });

  it("says that only the first 500 files are played", async () => {
    await mkdir(join(folder, "many"));
    for (let index = 0; index < 501; index++) await writeFile(join(folder, "many", `${index}.txt`), `${index}`);
    const child = spawn(process.execPath, [program, "demo", "many"], {
      cwd: folder,
      env: environment({ REPRISE_DATA: daemon.config.data }),
      stdio: ["ignore", "pipe", "ignore"],
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    assert.match(String((await lines.next()).value), /^Played by the daemon at nats:/);
    assert.equal((await lines.next()).value, "There are more than 500 files: the first 500 are played, sorted by path.");
    child.kill("SIGINT");
    await once(child, "close");
  });

  it("ends the agent when it is interrupted", async () => {
    const child = spawn(process.execPath, [program, "demo", join(projectFolder, "node_modules", "@types"), "--json"], {
      cwd: folder,
      env: environment({ REPRISE_DATA: daemon.config.data }),
      stdio: ["ignore", "ignore", "pipe"],
    });
    await once(child.stderr, "data");
    child.kill("SIGINT");
    const [code] = await once(child, "close");
    assert.equal(code, 130);
    const { agents } = await daemon.ask<{ agents: { state: string }[] }>("agent:list", {});
    assert.equal(agents[0]?.state, "terminated");
  });

  it("starts a daemon for its own time when none runs, and stops it", async () => {
    const data = join(folder, "own");
    const text = await demo(["files"], { REPRISE_DATA: data, REPRISE_NATS_PORT: "1" });
    assert.match(text, /No daemon was running/);
    assert.match(text, /Nothing is known yet/);
    await assert.rejects(
      promisify(execFile)(process.execPath, [program, "call", "system:ping"], {
        env: environment({ REPRISE_DATA: data, REPRISE_NATS_PORT: "1" }),
      }),
    );
  });
});
