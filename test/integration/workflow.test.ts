/** Learned workflows in a daemon: the shipped one learns where to look first, and each of its choices gets its outcome. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";

const pattern = "search_places";
const slot = `workflow/${pattern}`;

let daemon: TestDaemon;
let folder: string;
let places: Record<"documents" | "sources" | "data", string>;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "reprise-places-"));
  const place = async (name: string, file: string) => {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, file), "some text\n");
    return join(folder, name);
  };
  places = {
    documents: await place("documents", "a.md"),
    sources: await place("sources", "b.ts"),
    data: await place("data", "c.csv"),
  };
  daemon = await startTestDaemon();
});
after(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

interface Status {
  readonly state: string;
  readonly result: { found: string[]; looked: string[] };
  readonly error?: { code: string; message: string };
}

interface Recorded {
  readonly events: { data: { decision_id: string; reward: number; step?: string } }[];
}

async function search(inputs: object): Promise<Status & { run_id: string }> {
  const { run_id } = await daemon.ask<{ run_id: string }>("orchestration:start", { pattern, inputs });
  return { run_id, ...(await daemon.ask<Status>("orchestration:status", { run_id, wait: 60 })) };
}

const rewardsOf = async (run: string): Promise<number[]> => {
  const { events } = await daemon.ask<Recorded>("event:query", { run, types: ["policy:outcome_recorded"] });
  return events.map(({ data }) => Math.round(data.reward * 1000) / 1000);
};
const selectionsOf = async (run: string): Promise<number> =>
  (await daemon.ask<Recorded>("event:query", { run, types: ["policy:selected"] })).events.length;
const mean = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

describe("a learned workflow", () => {
  it("comes to look first where each kind of file is: fewer steps than by chance, and every choice has its outcome", async (t) => {
    const steps: number[] = [];
    for (let run = 0; run < 150; run++) {
      const wanted = run % 2 === 0 ? "md" : "ts";
      const { state, result, error } = await search({ ...places, wanted });
      assert.equal(state, "completed", JSON.stringify(error));
      assert.deepEqual(result.found, [wanted === "md" ? join(places.documents, "a.md") : join(places.sources, "b.ts")]);
      steps.push(result.looked.length);
    }
    t.diagnostic(`steps a run: first 30 ${mean(steps.slice(0, 30))}, last 30 ${mean(steps.slice(-30))}; by chance 2, at best 1`);
    assert.ok(mean(steps.slice(-30)) < 1.6, `the last 30 runs took ${mean(steps.slice(-30))} steps on average; by chance it is 2`);
    const { slots } = await daemon.ask<{ slots: { selections: number; outcomes: number }[] }>("policy:stats", { slot });
    const total = steps.reduce((sum, one) => sum + one, 0);
    assert.deepEqual([slots[0]?.selections, slots[0]?.outcomes], [total, total]);
  });

  it("gives outcomes to the choices of a run whose step fails, and the run fails as that step did", async () => {
    const { run_id, state, error } = await search({ ...places, data: join(folder, "nowhere"), wanted: "zip" });
    assert.deepEqual([state, error?.code], ["failed", "TOOL_FAILED"]);
    assert.match(error?.message ?? "", /there is no folder/);
    const selections = await selectionsOf(run_id);
    const expected = Array.from({ length: selections }, (_, turn) => Math.round(-0.2 * (selections - turn) * 1000) / 1000);
    assert.ok(selections >= 1);
    assert.deepEqual(await rewardsOf(run_id), expected);
  });

  it("gives outcomes also where the goal was not reached", async () => {
    const { run_id, state, result } = await search({ ...places, wanted: "zip" });
    assert.deepEqual([state, result.found, result.looked.length], ["completed", [], 3]);
    assert.deepEqual(await rewardsOf(run_id), [-0.6, -0.4, -0.2]);
  });

  it("is played by an agent within its capabilities, and again for each INCLUDE in one run", async () => {
    const strategy = [
      'FOREACH wanted IN ["md", "csv", "csv"]:',
      `  INCLUDE "${pattern}" AS outcome`,
      "  APPEND outcomes outcome",
      "RETURN outcomes",
    ];
    const text = strategy.map((line) => `    ${line}`).join("\n");
    const capabilities = "[tool:list_files, policy:select, policy:outcome]";
    const content = `name: both\ntype: orchestration\nversion: 1.0.0\ncapabilities: ${capabilities}\norchestration_logic:\n  strategy: |\n${text}\n`;
    await daemon.ask("composition:create", { type: "orchestration", name: "both", content });
    const inputs = { ...places };
    const { run_id } = await daemon.ask<{ run_id: string }>("agent:spawn", { profile: "base_orchestrator", pattern: "both", inputs });
    const { result, error } = await daemon.ask<{ result?: Status["result"][]; error?: unknown }>("orchestration:status", {
      run_id,
      wait: 60,
    });
    const csv = [join(places.data, "c.csv")];
    assert.deepEqual(
      result?.map(({ found }) => found),
      [[join(places.documents, "a.md")], csv, csv],
      JSON.stringify(error),
    );
    assert.ok(
      result.every(({ looked }) => looked.length > 0),
      "each begins with nothing found",
    );
    assert.equal((await rewardsOf(run_id)).length, await selectionsOf(run_id));
  });
});

describe("a workflow that cannot be played", () => {
  it("is told by whatever reads the pattern, before anything runs", async () => {
    const content =
      "name: circle\ntype: orchestration\nversion: 1.0.0\nworkflow:\n  steps:\n    - {id: a, tool: list_files, depends_on: [b]}\n    - {id: b, tool: list_files, depends_on: [a]}\n";
    await daemon.ask("composition:create", { type: "orchestration", name: "circle", content });
    const requests: [command: string, body: object][] = [
      ["orchestration:explain", { content }],
      ["orchestration:explain", { pattern: "circle" }],
      ["orchestration:simulate", { pattern: "circle" }],
      ["orchestration:start", { pattern: "circle" }],
    ];
    for (const [command, body] of requests) {
      const error = await daemon.errorOf(command, body);
      assert.deepEqual([error.code, error.details.path], ["PATTERN_INVALID", "workflow.steps.0.depends_on"], command);
      assert.match(error.message, /a → b → a/);
    }
  });
});
