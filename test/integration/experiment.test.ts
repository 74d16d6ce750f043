import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { temporaryFolder } from "../harness/git.ts";
import { until } from "../harness/until.ts";

interface Status {
  readonly name: string;
  readonly state: string;
  readonly verdict: string;
  readonly variants: readonly { readonly variant: string; readonly outcomes: number; readonly mean_reward: number }[];
  readonly comparisons: readonly { readonly difference: number; readonly interval: readonly [number, number]; readonly verdict: string }[];
  readonly played: number;
  readonly failed: number;
  readonly last_failure?: { readonly variant: string; readonly code: string; readonly message: string };
  readonly reason?: string;
}

let daemon: TestDaemon;
before(async () => {
  daemon = await startTestDaemon();
  await write("good", "RETURN {score: 0.9}");
  await write("bad", "RETURN {score: 0.1}");
  await write("broken", "ABORT 'it never works'");
});
after(() => daemon?.[Symbol.asyncDispose]());

const write = (name: string, strategy: string, { ask }: Pick<TestDaemon, "ask"> = daemon, more = "") => {
  const content = `name: ${name}\ntype: orchestration\nversion: 1.0.0\n${more}orchestration_logic:\n  strategy: |\n    ${strategy}\n`;
  return ask("composition:create", { type: "orchestration", name, content });
};
const statusOf = async (name: string, { ask }: Pick<TestDaemon, "ask"> = daemon): Promise<Status> => {
  const { experiments } = await ask<{ experiments: Status[] }>("experiment:status", { name });
  return experiments[0] as Status;
};
const ended = (name: string) =>
  until(async () => ((await statusOf(name)).state === "running" ? undefined : statusOf(name)), `the end of ${name}`, 60_000);
const outcomesIn = ({ variants }: Status) => variants.reduce((sum, { outcomes }) => sum + outcomes, 0);

describe("an experiment", () => {
  it("plays the variants until one has won, and logs each assignment as a choice with its odds", async () => {
    const started = await daemon.ask<Status>("experiment:start", { name: "clear", variants: ["good", "bad"], runs: 400 });
    assert.deepEqual([started.state, started.verdict], ["running", "not enough data"]);
    const status = await ended("clear");
    assert.deepEqual([status.state, status.verdict], ["decided", "good"]);
    assert.ok(status.played < 300, `${status.played} runs`);
    assert.equal(outcomesIn(status), status.played);
    assert.ok((status.comparisons[0]?.interval[0] ?? 0) > 0);
    const { events } = await daemon.ask<{ events: { data: Record<string, unknown> }[] }>("event:query", {
      types: ["policy:selected"],
      limit: 1_000,
    });
    const assignments = events.filter(({ data }) => data.slot === "experiment/clear");
    assert.equal(assignments.length, status.played);
    assert.ok(assignments.every(({ data }) => data.probability === 0.5));
  });

  it("says that there is not enough data when the variants are alike", async () => {
    await daemon.ask("experiment:start", { name: "alike", variants: ["bad", "broken"], runs: 6 });
    const status = await ended("alike");
    assert.deepEqual([status.state, status.verdict, status.played], ["exhausted", "not enough data", 6]);
  });

  it("counts the runs that failed, and tells why the latest did", async () => {
    await write("hopeless", "ABORT 'it never works'");
    await daemon.ask("experiment:start", { name: "failing", variants: ["broken", "hopeless"], runs: 3 });
    const { state, played, failed, last_failure } = await ended("failing");
    assert.deepEqual([state, played, failed], ["exhausted", 3, 3]);
    assert.deepEqual([last_failure?.code, last_failure?.message], ["RUN_ABORTED", "it never works"]);
    assert.ok(["broken", "hopeless"].includes(last_failure?.variant ?? ""));
  });

  it("gives out variants, takes outcomes from whoever got them, and stops", async () => {
    await daemon.ask("experiment:start", { name: "given", variants: ["left", "right", "middle"], mode: "bandit" });
    for (let round = 0; round < 30; round++) {
      const { variant, decision_id, probability } = await daemon.ask<{ variant: string; decision_id: string; probability: number }>(
        "experiment:assign",
        { name: "given" },
      );
      assert.ok(probability >= 0.2 / 3 - 1e-9);
      await daemon.ask("policy:outcome", { decision_id, success: variant === "left" });
    }
    const stopped = await daemon.ask<Status>("experiment:stop", { name: "given" });
    assert.equal(stopped.state, "stopped");
    assert.equal(outcomesIn(stopped), 30);
    assert.equal(await daemon.codeOf("experiment:assign", { name: "given" }), "EXPERIMENT_ENDED");
    assert.equal(await daemon.codeOf("experiment:assign", { name: "nobody" }), "EXPERIMENT_NOT_FOUND");
    assert.deepEqual((await daemon.ask<Status>("experiment:stop", { name: "given" })).state, "stopped");
  });

  it("refuses variants that cannot be played before it begins, naming each", async () => {
    await write("garbled", "EMIT WITH 3", daemon, "strict: true\n");
    await write("misspelt", 'RUN "list_flies"', daemon);
    await write("forbidden", 'RUN "list_files"', daemon, "capabilities: [policy:select]\n");
    for (const [variants, code, named] of [
      [["good", "nowhere", "neverland"], "COMPOSITION_NOT_FOUND", ["nowhere", "neverland"]],
      [["garbled", "good", "base_orchestrator"], "PATTERN_INVALID", ["garbled", "base_orchestrator"]],
      [["misspelt", "good", "forbidden"], "PATTERN_INVALID", ["misspelt", "list_flies", "forbidden", "tool:list_files"]],
    ] as const) {
      const error = await daemon.errorOf("experiment:start", { name: "void", variants, runs: 5 });
      assert.equal(error.code, code);
      for (const name of named) assert.match(error.message, new RegExp(`\\b${name}\\b`));
      assert.equal(await daemon.codeOf("experiment:status", { name: "void" }), "EXPERIMENT_NOT_FOUND");
    }
  });

  it("ends as failed when whoever asked for it may not start runs", async () => {
    const content = 'name: watcher\ntype: profile\nversion: 1.0.0\ncapabilities: ["experiment:start"]\n';
    await daemon.ask("composition:create", { type: "profile", name: "watcher", content });
    const { agent_id } = await daemon.ask<{ agent_id: string }>("agent:spawn", { profile: "watcher" });
    await daemon.ask("experiment:start", { name: "fails", variants: ["good", "bad"], runs: 50 }, { "ce-agent": agent_id });
    const status = await ended("fails");
    assert.equal(status.state, "failed");
    assert.match(status.reason ?? "", /^CAPABILITY_DENIED: .*orchestration:start/);
  });

  it("goes on after a restart, and draws nothing twice", async (t) => {
    const data = join(await temporaryFolder(t), "data");
    const runs = 30;
    {
      await using first = await startTestDaemon({ config: { data } });
      for (const name of ["one", "other"]) await write(name, "RETURN {score: 0.5}", first);
      await first.ask("experiment:start", { name: "long", variants: ["one", "other"], runs });
      await until(async () => (await statusOf("long", first)).played >= 5, "some runs");
    }
    await using second = await startTestDaemon({ config: { data } });
    const status = await until(async () => {
      const found = await statusOf("long", second);
      return found.state === "running" ? undefined : found;
    }, "its end");
    assert.deepEqual([status.state, status.verdict, status.played, outcomesIn(status)], ["exhausted", "not enough data", runs, runs]);
    const { slots } = await second.ask<{ slots: { selections: number }[] }>("policy:stats", { slot: "experiment/long" });
    assert.equal(slots[0]?.selections, runs);
  });
});
