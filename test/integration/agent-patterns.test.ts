/** The shipped patterns in which agents talk to each other, played to their end by agents that answer by rules. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { promptOf, protocols, startModelServer } from "../harness/model-server.ts";

/** A profile whose agents answer by rules, without a model. */
const ruled = (name: string, answers: object[]) =>
  JSON.stringify({ name, type: "profile", version: "1.0.0", capabilities: ["event:emit"], answers }, undefined, 2);

const workers = {
  speaker: ruled("speaker", [
    { when: 'message.turn = "opening"', reply: 'agent.name & " opens"' },
    { when: 'message.turn = "rebuttal"', reply: 'agent.name & " answers: " & message.answer' },
  ]),
  umpire: ruled("umpire", [{ reply: '{"marks": [{"criterion": "evidence", "for": 8, "against": 4, "why": message.record[0]."for"}]}' }]),
  voter: ruled("voter", [
    {
      reply: '"voted"',
      emit: [
        {
          event: "consensus:voted",
          data: '{"proposal": message.round = 1 ? agent.name & " wins" : "tea", "objections": "none from " & agent.name}',
        },
      ],
    },
  ]),
  silent: ruled("silent", [{ when: "false", reply: '"never"' }]),
};

let daemon: TestDaemon;
before(async () => {
  daemon = await startTestDaemon();
  for (const [name, content] of Object.entries(workers)) await daemon.ask("composition:create", { type: "profile", name, content });
});
after(() => daemon?.[Symbol.asyncDispose]());

async function play(pattern: string, inputs: object) {
  const { run_id, agent_id } = await daemon.ask<{ run_id: string; agent_id: string }>("agent:spawn", {
    profile: "base_orchestrator",
    pattern,
    inputs,
  });
  const status = await daemon.ask<{ state: string; result: Record<string, unknown>; error?: { message: string } }>("orchestration:status", {
    run_id,
    wait: 60,
  });
  return { ...status, run_id, agent_id };
}

test("debate: both sides speak, the umpire's marks decide, and nobody is left behind", async () => {
  const { state, result, error, agent_id } = await play("debate", {
    motion: "Tea is better",
    speaker: "speaker",
    judge: "umpire",
    rounds: 2,
  });
  assert.equal(state, "completed", JSON.stringify(error));
  assert.deepEqual([result.verdict, result.lead], ["for", 4 / 12]);
  assert.deepEqual(result.record, [
    { round: 1, for: "proposer opens", against: "opponent opens" },
    { round: 2, for: "proposer answers: opponent opens", against: "opponent answers: proposer opens" },
  ]);
  const { agents } = await daemon.ask<{ agents: { state: string; name: string }[] }>("agent:list", { parent: agent_id });
  assert.deepEqual(agents.map(({ name, state: reached }) => `${name} ${reached}`).sort(), [
    "opponent terminated",
    "proposer terminated",
    "umpire terminated",
  ]);
});

test("debate: with the shipped workers and no model, it ends saying which model is missing", async () => {
  const { state, error } = await play("debate", { motion: "Tea is better" });
  assert.equal(state, "failed");
  assert.match(error?.message ?? "", /debate broke off.*model.*default/is);
});

test("consensus_builder: votes of a second round agree, with the objections on record", async () => {
  const participants = ["ann", "ben", "cem"].map((name) => ({ name, profile: "voter", view: name }));
  const { state, result, error } = await play("consensus_builder", { question: "Tea or coffee?", participants, rounds: 3 });
  assert.equal(state, "completed", JSON.stringify(error));
  assert.deepEqual([result.agreed, result.proposal, result.share], [true, "tea", 1]);
  assert.equal((result.history as unknown[]).length, 2);
});

test("consensus_builder: too few voices end it, saying how many there were", async () => {
  const participants = ["ann", "ben", "cem"].map((name, index) => ({ name, profile: index === 0 ? "voter" : "silent", view: name }));
  const { state, error } = await play("consensus_builder", { question: "Tea or coffee?", participants, patience: 1 });
  assert.equal(state, "failed");
  assert.match(error?.message ?? "", /Only 1 of 3 answered in round 1/);
});

test("debate: the shipped workers think with a model, which is told each one's task and sees messages as data", async () => {
  await using server = await startModelServer((request) => {
    const said = promptOf(request);
    const reply = said.includes("You judge a debate")
      ? JSON.stringify({ marks: [{ criterion: "evidence", for: 3, against: 9, why: "sources" }] })
      : said.includes("Argue for the motion")
        ? "Tea calms."
        : "Coffee wakes.";
    return { content: JSON.stringify({ reply, events: [] }) };
  });
  await using thinking = await startTestDaemon({ config: { sections: { models: { default: protocols.openai_compatible(server.url) } } } });
  const { run_id } = await thinking.ask<{ run_id: string }>("agent:spawn", {
    profile: "base_orchestrator",
    pattern: "debate",
    inputs: { motion: "Tea is better", rounds: 1 },
  });
  interface Status {
    state: string;
    result: Record<string, unknown>;
    error?: object;
    usage: { tokens: number };
  }
  const { state, result, error, usage } = await thinking.ask<Status>("orchestration:status", { run_id, wait: 60 });
  assert.equal(state, "completed", JSON.stringify(error));
  assert.deepEqual(result.record, [{ round: 1, for: "Tea calms.", against: "Coffee wakes." }]);
  assert.equal(result.verdict, "against");
  assert.ok(server.requests.every((request) => /<<[\w-]{12}\n.*\n[\w-]{12}>>/.test(promptOf(request))));
  const { agents } = await thinking.ask<{ agents: { name: string; spent?: { tokens: number } }[] }>("agent:list", { profile: "debater" });
  assert.ok(usage.tokens > 0, "the run pays for the answers that it waits for");
  assert.ok(
    agents.every(({ spent }) => (spent?.tokens ?? 0) > 0),
    JSON.stringify(agents),
  );
});

test("SEND, AWAIT and TERMINATE take a group: the agents that this run has spawned in it, not those of another", async () => {
  const strategy = `SPAWN {profile: "voter", count: 2, group: "reviewers"}
SPAWN {profile: "voter", name: "chair", group: "reviewers"}
SPAWN {profile: "speaker", group: "speakers"}
SEND {to: {group: "reviewers"}, message: {round: 1}} AWAIT REPLY WITHIN 30s AS replies
AWAIT {event: "consensus:voted", from: {group: "reviewers"}, within: 30s} AS votes
TERMINATE {group: "reviewers"}
AWAIT {group: "reviewers"} WITHIN 30s AS ends
SEND {to: {group: "speakers"}, message: {turn: "opening"}} AWAIT REPLY WITHIN 30s AS opening
SEND {to: {group: "reviewers"}, message: "too late"}
ON ERROR:
  RETURN {replies, votes, ends, opening, code: error.code, message: error.message}`;
  const content = JSON.stringify({ name: "in_groups", type: "orchestration", version: "1.0.0", orchestration_logic: { strategy } });
  await daemon.ask("composition:create", { type: "orchestration", name: "in_groups", content });
  // Two runs at once, with groups of the same name.
  for (const { state, result, error } of await Promise.all([play("in_groups", {}), play("in_groups", {})])) {
    assert.equal(state, "completed", JSON.stringify(error));
    assert.deepEqual(result.replies, ["voted", "voted", "voted"]);
    const voters = (result.votes as { proposal: string }[]).map(({ proposal }) => proposal);
    assert.deepEqual(voters.toSorted(), ["chair wins", "reviewers-1 wins", "reviewers-2 wins"]);
    assert.deepEqual(
      (result.ends as { state: string }[]).map((end) => end.state),
      ["terminated", "terminated", "terminated"],
    );
    assert.equal((result.opening as unknown[]).length, 1);
    assert.deepEqual([result.code, result.message], ["EXPRESSION_FAILED", 'Line 9: the run has no agents in the group "reviewers".']);
  }
});
