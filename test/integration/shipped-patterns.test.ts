/** The patterns that come with the daemon: each reads as it was meant, and those that need no agents are played for real. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { covers } from "../../daemon/capabilities.ts";
import { projectFolder } from "../../daemon/project.ts";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";

const shipped = join(projectFolder, "compositions");
/** Wait for agents that answer, so they are read but not played here. */
const withAgents = ["consensus_builder", "debate"];

interface Explanation {
  readonly warnings: unknown[];
  readonly problems: { statement?: string }[];
  readonly judgement_points: unknown[];
  readonly capabilities: string[];
}

let daemon: TestDaemon;
let files: string;
let names: string[];
let components: string[];
before(async () => {
  daemon = await startTestDaemon();
  files = await mkdtemp(join(tmpdir(), "reprise-files-"));
  for (let count = 0; count < 6; count++) await writeFile(join(files, `text-${count}.txt`), `line ${count} of many\n`.repeat(200 + count));
  await writeFile(join(files, "noise.bin"), randomBytes(20_000));
  const namesIn = async (folder: string) => (await readdir(join(shipped, folder))).map((file) => basename(file, ".yaml"));
  [names, components] = await Promise.all([namesIn("orchestrations"), namesIn("components")]);
});
after(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await rm(files, { recursive: true, force: true });
});

/** Spawns an orchestrator on the pattern and returns what its run returned. */
async function play<Result>(pattern: string, inputs: Record<string, unknown>): Promise<Result> {
  const { run_id } = await daemon.ask<{ run_id: string }>("agent:spawn", { profile: "base_orchestrator", pattern, inputs });
  const { state, result, error } = await daemon.ask("orchestration:status", { run_id, wait: 60 });
  assert.equal(state, "completed", JSON.stringify(error));
  return result as Result;
}

describe("the shipped compositions", () => {
  it("are valid, have a description, and no lineage or performance of somebody else's", async () => {
    const { compositions } = await daemon.ask<{ compositions: { name: string; valid: boolean; description?: string }[] }>(
      "composition:list",
    );
    for (const name of [...names, ...components]) {
      const found = compositions.find((composition) => composition.name === name);
      assert.ok(found?.valid && (found.description?.length ?? 0) > 40, name);
      const { data } = await daemon.ask<{ data: object }>("composition:get", { name });
      assert.ok(!("lineage" in data) && !("performance" in data), name);
    }
  });

  it("are read without a warning, and ask for the capabilities that their statements need", async () => {
    assert.ok(names.length >= 6);
    assert.ok(components.length >= 3);
    for (const name of names) {
      const read = await daemon.ask<Explanation>("orchestration:explain", { pattern: name });
      assert.deepEqual(read.warnings, [], name);
      const { data } = await daemon.ask<{ data: { capabilities: string[]; workflow?: object } }>("composition:get", { name });
      assert.ok(data.workflow || read.judgement_points.length > 0, `${name} leaves a person nothing to think about`);
      assert.deepEqual(
        read.capabilities.filter((target) => !covers(data.capabilities, target)),
        [],
        name,
      );
      if (!withAgents.includes(name)) assert.deepEqual(read.problems, [], name);
    }
  });

  it("come to an end in a simulation, where agents and tools say little", async () => {
    const answers = { "RUN list_files": { value: { files: [{ path: "a.md" }, { path: "b.md" }] } } };
    for (const pattern of names) {
      const inputs = { motion: "Tea is better than coffee.", question: "Tea or coffee?" };
      const request = { pattern, inputs, answers };
      const { error, effects } = await daemon.ask<{ error?: unknown; effects: unknown[] }>("orchestration:simulate", request);
      assert.equal(error, undefined, `${pattern}: ${JSON.stringify(error)}`);
      assert.ok(effects.length > 2, pattern);
    }
  });

  it("have a paragraph in the README, which is not seeded into the user's repository", async () => {
    const readme = await readFile(join(shipped, "README.md"), "utf8");
    for (const name of [...names, ...components]) assert.match(readme, new RegExp(`^### ${name}$`, "m"));
    assert.ok(!(await readdir(daemon.config.compositions)).includes("README.md"));
  });
});

describe("tournament_basic", () => {
  it("lets every contestant do every task, and the most victories win", async () => {
    const { winner, table, forfeits } = await play<{ winner: string; table: Record<string, number>[]; forfeits: unknown[] }>(
      "tournament_basic",
      { directory: files },
    );
    assert.ok(["thorough", "modern"].includes(winner), winner);
    assert.deepEqual([table.length, table.map(({ tasks }) => tasks), forfeits], [3, [7, 7, 7], []]);
  });

  it("counts a failed task as forfeited, and goes on with the others", async () => {
    const inputs = {
      tasks: [{ path: join(files, "text-0.txt") }],
      contestants: [
        { id: "broken", arguments: { method: "none" } },
        { id: "sound", arguments: { method: "gzip-6" } },
      ],
    };
    const { winner, forfeits } = await play<{ winner: string; forfeits: { contestant: string }[] }>("tournament_basic", inputs);
    assert.deepEqual([winner, forfeits.map(({ contestant }) => contestant)], ["sound", ["broken"]]);
  });
});

describe("adaptive_tournament", () => {
  it("ends early when one is clearly ahead, and tells the policy whether the favourite won", async () => {
    const inputs = {
      directory: files,
      first_round: 1,
      contestants: ["store", "gzip-1", "gzip-9"].map((method) => ({ id: method, arguments: { method } })),
      margin: 0.000_01,
      tasks: [0, 1, 2, 3].map((count) => ({ path: join(files, `text-${count}.txt`) })),
    };
    const { winner, decided, rounds } = await play<{ winner: string; decided: boolean; rounds: { tasks: number; standing: string[] }[] }>(
      "adaptive_tournament",
      inputs,
    );
    assert.deepEqual([winner, decided, rounds.length], ["gzip-9", true, 1]);
    const { slots } = await daemon.ask<{ slots: { outcomes: number }[] }>("policy:stats", { slot: "favourite" });
    assert.equal(slots[0]?.outcomes, 1);
  });

  it("puts the weaker part out after a round, and gives those who stay twice the tasks", async () => {
    const inputs = {
      directory: files,
      first_round: 2,
      margin: 2,
      contestants: ["store", "gzip-1", "gzip-6", "gzip-9"].map((method) => ({ id: method, arguments: { method } })),
    };
    const { rounds, decided } = await play<{ decided: boolean; rounds: { tasks: number; standing: string[] }[] }>(
      "adaptive_tournament",
      inputs,
    );
    assert.equal(decided, false, "nobody can be ahead by more than all");
    assert.deepEqual(
      rounds.slice(0, 2).map(({ tasks }) => tasks),
      [2, 4],
    );
    assert.ok((rounds[0]?.standing.length ?? 9) <= 3, JSON.stringify(rounds));
  });
});

describe("adaptive_pipeline", () => {
  it("finishes every item, spares those with nothing to gain, and learns from the others", async () => {
    const { items, finished, stopped } = await play<{ items: number; stopped: boolean; finished: { path: string; treatment: string }[] }>(
      "adaptive_pipeline",
      { directory: files },
    );
    assert.deepEqual([items, finished.length, stopped], [7, 7, false]);
    assert.equal(finished.find(({ path }) => path.endsWith("noise.bin"))?.treatment, "store");
  });

  it("becomes careful when too many treatments fail, with a decision that says why", async () => {
    const inputs = { directory: files, treatments: ["no-such-method"], window: 3, stop_at: 2 };
    const { finished } = await play<{ finished: { treatment: string; mode: string }[] }>("adaptive_pipeline", inputs);
    assert.ok(finished.every(({ treatment }) => treatment === "store"));
    assert.ok(
      finished.some(({ mode }) => mode === "careful"),
      JSON.stringify(finished),
    );
    const { events } = await daemon.ask<{ events: { data: { decision: string; reason: string } }[] }>("event:query", {
      types: ["composition:decision_tracked"],
    });
    const decision = events.find(({ data }) => data.decision === "become careful");
    assert.match(decision?.data.reason ?? "", /% of the last 3 items failed/);
  });

  it("stops when more fails than stop_at allows", async () => {
    const inputs = { directory: files, treatments: ["no-such-method"], window: 3, careful_at: 0.5, stop_at: 0.6 };
    const { finished, stopped } = await play<{ finished: unknown[]; stopped: boolean }>("adaptive_pipeline", inputs);
    assert.equal(stopped, true);
    assert.ok(finished.length < 7);
  });
});
