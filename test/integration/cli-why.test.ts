/** `reprise why`: the same story from the event log and from git. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Story } from "../../daemon/cli/why/story.ts";
import { tell } from "../../daemon/cli/why/tell.ts";
import { projectFolder } from "../../daemon/project.ts";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { type Git, gitIn } from "../harness/git.ts";

let daemon: TestDaemon;
let git: Git;
let files: string;
let run: string;
before(async () => {
  daemon = await startTestDaemon();
  git = gitIn(daemon.config.compositions);
  files = await mkdtemp(join(tmpdir(), "reprise-files-"));
  for (const name of ["a.txt", "b.txt"]) await writeFile(join(files, name), `${name}\n`.repeat(300));
  const spawned = await daemon.ask("agent:spawn", {
    profile: "base_orchestrator",
    pattern: "compression_tournament",
    inputs: { directory: files },
  });
  run = spawned.run_id as string;
  assert.equal((await daemon.ask("orchestration:status", { run_id: run, wait: 60 })).state, "completed");
  await track({ wait: "commit" }); // so that those of the run are in git before it
});
after(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await rm(files, { recursive: true, force: true });
});

const track = (fields: object): Promise<{ id: string; commit?: string }> =>
  daemon.ask("composition:track_decision", {
    pattern: "tournament_basic",
    decision: "use zstd",
    reason: "it was fastest on the sample",
    options: ["zstd", "gzip"],
    confidence: 0.8,
    ...fields,
  });

async function why(...argv: string[]): Promise<{ code: number; output: string; errors: string }> {
  const program = join(projectFolder, "daemon", "cli", "main.ts");
  const environment = { ...process.env, REPRISE_NATS_URL: daemon.daemon.natsUrl };
  return new Promise((resolve) => {
    execFile(process.execPath, [program, "why", ...argv], { env: environment }, (error, output, errors) =>
      resolve({ code: Number(error?.code ?? 0), output, errors }),
    );
  });
}

const whyAsJson = async (id: string) => JSON.parse((await why(id, "--json")).output);

describe("reprise why", () => {
  it("tells a decision: pattern, options, reason, outcome, and the commit and line in git that say the same", async () => {
    const { id, commit = "" } = await track({ outcome: "pending", wait: "commit" });
    const { code, output } = await why(id);
    assert.equal(code, 0);
    for (const expected of [
      /^decision +use zstd$/m,
      /^because +it was fastest on the sample$/m,
      /^pattern +tournament_basic@1\.0\.0 at commit [0-9a-f]{40}$/m,
      /^options +zstd, gzip$/m,
      /^confidence +0\.8$/m,
      /^outcome +pending$/m,
      new RegExp(`^commit +${commit}$`, "m"),
      /^git log +[0-9a-f]{7,} \S+ reprise: decision\(tournament_basic\): use zstd$/m,
    ])
      assert.match(output, expected);
    assert.match(output, new RegExp(`^git blame .*${commit.slice(0, 7)}.*${id}`, "m"));
    const story = await whyAsJson(id);
    assert.deepEqual([story.kind, story.decision.commit], ["decision", commit]);
    assert.equal(await git("log", "-1", "--format=%H", `--grep=Decision-Id: ${id}`), commit);
  });

  it("tells a decision of a run with the odds that the policy gave, and the commit that the run played", async () => {
    const { run: status, decisions, selections } = await whyAsJson(run);
    assert.deepEqual([decisions.length, selections.length], [2, 0], "every choice is reported by a decision");
    const [{ id, commit }] = decisions;
    const { decision } = await whyAsJson(id);
    assert.deepEqual([decision.run, decision.pattern_commit, decision.commit], [run, status.commit, commit]);
    assert.equal(decision.selection.candidates.length, 9);
    assert.ok(decision.selection.probability > 0 && typeof decision.selection.outcome.reward === "number");
    assert.match((await why(id)).output, /chosen with probability 0?\.?\d+/);
    const bySelection = await whyAsJson(decision.selection.decision_id);
    assert.deepEqual([bySelection.kind, bySelection.decision.id], ["selection", id]);
  });

  it("tells a choice that no run made, with its context, and sends nobody to git for it", async () => {
    const candidates = [{ id: "formal" }, { id: "warm" }];
    const { decision_id } = await daemon.ask("policy:select", { slot: "greeting", context: { hour: 8 }, candidates });
    const { code, output } = await why(decision_id as string);
    assert.equal(code, 0);
    assert.match(output, /^choice +(formal|warm) for greeting$/m);
    assert.match(output, /^context +\{"hour":8\}$/m);
    assert.match(output, new RegExp(`^id +${decision_id}$`, "m"));
    assert.doesNotMatch(output, /git|undefined/);
  });

  it("tells a run with all its decisions, and what nobody judged", async () => {
    const { code, output } = await why(run);
    assert.equal(code, 0);
    assert.match(output, new RegExp(`^run +${run}, completed$`, "m"));
    assert.match(output, /^2 decisions$/m);
    assert.match(output, /^not judged +line \d+: /m);
    const [command = ""] = /git -C .*$/m.exec(output) ?? [];
    const [, search = ""] = /--grep='([^']+)'/.exec(command) ?? [];
    assert.notEqual(await git("log", "--format=%h", `--grep=${search}`), "", command);
  });

  it("tells a run without decisions in few lines, however much it found", () => {
    const status = { run_id: "r1", state: "completed", pattern: "debate", commit: "1".repeat(40), result: "x".repeat(5_000), steps: 1 };
    const run = { ...status, started_at: "2026-01-01T00:00:00Z" } as Extract<Story, { kind: "run" }>["run"];
    const told = tell({ kind: "run", run, decisions: [], selections: [], git_log: "git log" });
    assert.match(told, /^0 decisions$/m);
    assert.match(told, /x… \(5000 characters; --json tells all of them\)$/m);
    assert.doesNotMatch(told, /the same in git/);
  });

  it("finds in git a decision that the event log has no longer", async () => {
    const path = "orchestrations/debate_decisions.yaml";
    const entry = '- id: "01OLD"\n  time: "2020-01-01T00:00:00.000Z"\n  decision: old\n  reason: before this log began\n';
    await writeFile(join(daemon.config.compositions, path), entry);
    await git("add", path);
    await git("commit", "-q", "-m", "decision(debate): old\n\nDecision-Id: 01OLD\nPattern: debate@1.0.0");
    const { decision } = await whyAsJson("01OLD");
    assert.deepEqual([decision.decision, decision.commit], ["old", await git("rev-parse", "HEAD")]);
    assert.match(decision.git.blame, /Hand/);
  });

  it("finds every decision and choice of a causal tree too large to be traced whole", async () => {
    const { id } = await daemon.ask<{ id: string }>("event:emit", { event: "day:began" });
    const caused = { "ce-causationid": id, "ce-correlationid": id };
    for (const half of [1, 2]) {
      await daemon.ask(
        "event:emit",
        { events: Array.from({ length: 600 }, (_, index) => ({ event: "hour:passed", data: { half, index } })) },
        caused,
      );
    }
    const { root, truncated } = await daemon.ask<{ root: { id: string; children: unknown[] }; truncated: boolean }>("event:trace", { id });
    assert.deepEqual([root.id, root.children.length, truncated], [id, 999, true]);
    const chosen = await daemon.ask<{ decision_id: string }>("policy:select", { slot: "hat", candidates: [{ id: "red" }] }, caused);
    const tracked = await daemon.ask<{ id: string }>(
      "composition:track_decision",
      { pattern: "tournament_basic", decision: "stop", reason: "it was late" },
      { ...caused, "ce-causationid": chosen.decision_id },
    );
    assert.equal((await whyAsJson(chosen.decision_id)).selection.choice, "red");
    assert.equal((await whyAsJson(tracked.id)).decision.reason, "it was late");
  });

  it("exits with 1 for an id that nothing has, and with 2 without an id", async () => {
    const unknown = await why("01NOTHING");
    assert.equal(unknown.code, 1);
    assert.match(unknown.errors, /DECISION_UNKNOWN: There is no decision and no run 01NOTHING/);
    assert.equal(JSON.parse((await why("01NOTHING", "--json")).output).error.code, "DECISION_UNKNOWN");
    assert.equal((await why("no/step")).code, 1);
    assert.equal((await why()).code, 2);
  });
});
