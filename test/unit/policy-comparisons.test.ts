import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { openDatabase } from "../../daemon/database.ts";
import type { Database } from "../../daemon/module.ts";
import { seededRandom } from "../../modules/policy/chance.ts";
import { compare } from "../../modules/policy/evaluation/confidence-sequence.ts";
import { Comparisons } from "../../modules/policy/experience/comparisons.ts";
import { prepareTables } from "../../modules/policy/experience/tables.ts";
import { defaultReward } from "../../modules/policy/reward.ts";
import type { Selected } from "../../modules/policy/schema.ts";

const slot = "lamp";

function open(t: TestContext): Database {
  const database = openDatabase(":memory:");
  t.after(() => database[Symbol.dispose]());
  prepareTables(database);
  return database;
}

const selected = (decision_id: string, choice: string, more: Partial<Selected> = {}): Selected => ({
  decision_id,
  choice,
  probability: 0.5,
  scores: {},
  reason: "",
  policy: "uniform",
  version: "1",
  request: decision_id,
  slot,
  context: {},
  candidates: [{ id: "left" }, { id: "right" }],
  feature_spec: "1",
  deployment: "uniform",
  assigned: 1,
  by: "client:test",
  ...more,
});

interface Arms {
  reward(choice: string, random: () => number): number;
  /** Selections until the outcome is told. */
  late(choice: string, reward: number): number;
}

/** Plays selections from one to another; outcomes that are late come with later ones. */
function play(comparisons: Comparisons, seed: number, count: number, { reward, late }: Arms, eachTime = () => {}, from = 0): void {
  const random = seededRandom(seed * 104_729);
  const due = new Map<number, { id: string; value: number }[]>();
  let [sum, known] = [0, 0];
  for (let index = 0; index < count; index++) {
    const choice = random() < 0.5 ? "left" : "right";
    const value = reward(choice, random);
    const told = index + late(choice, value);
    due.set(told, [...(due.get(told) ?? []), { id: `d${index}`, value }]);
    if (index >= from) comparisons.select(selected(`d${index}`, choice), known === 0 ? 0 : sum / known);
    for (const { id, value: outcome } of due.get(index) ?? []) {
      if (index >= from) comparisons.reward(slot, id, outcome);
      sum += outcome;
      known++;
    }
    due.delete(index);
    if (index >= from && index % 100 === 0) eachTime();
  }
}

it("a candidate may be called as what every object has", (t) => {
  const comparisons = new Comparisons(open(t));
  for (const [index, choice] of ["left", "right", "constructor"].entries()) {
    comparisons.select(selected(`d${index}`, choice, { probability: choice === "constructor" ? 0.001 : 0.5 }), 0);
  }
  const { later, least } = comparisons.ofCandidates(slot, "left", "right");
  assert.deepEqual([later.map(({ side }) => side), least], [["left", "right", "neither"], 0.5]);
});

const verdict = (comparisons: Comparisons) => {
  const { sides, later, least } = comparisons.ofCandidates(slot, "left", "right");
  return compare(sides, later, { least }).verdict;
};

/** Seeds of which somebody who always looks would get a verdict at some time. */
const decided = (t: TestContext, seeds: number, count: number, arms: Arms) =>
  Array.from({ length: seeds }, (_, index) => index + 1).filter((seed) => {
    const comparisons = new Comparisons(open(t));
    let isDecided = false;
    play(comparisons, seed, count, arms, () => {
      isDecided ||= verdict(comparisons) !== "not enough data";
    });
    return isDecided;
  });

const success = (odds: number) => (_: string, random: () => number) => (random() < odds ? 1 : 0);
const atOnce = () => 0;

describe("a comparison of what is chosen", () => {
  it("of equal means finds no winner in 40 000 outcomes of which one side's are rarely good", (t) => {
    const reward = (choice: string, random: () => number) => (choice === "left" ? 0.2 : random() < 0.2 ? 1 : 0);
    const wrong = decided(t, 20, 40_000, { reward, late: atOnce });
    assert.ok(wrong.length <= 1, `${wrong.length} of 20`);
  });

  for (const [name, late] of [
    ["one side's successes", (choice: string, reward: number) => (choice === "right" && reward === 1 ? 1_500 : 0)],
    ["one side's failures", (choice: string, reward: number) => (choice === "right" && reward === 0 ? 1_500 : 0)],
    ["one side's outcomes", (choice: string) => (choice === "right" ? 1_500 : 0)],
  ] as const) {
    it(`of equal means finds no winner where ${name} come 1 500 selections late`, (t) => {
      const wrong = decided(t, 60, 3_000, { reward: success(0.8), late });
      assert.ok(wrong.length <= 3, `${wrong.length} of 60`);
    });
  }

  it("finds the better side though outcomes come late, and though some never come", (t) => {
    const reward = (choice: string, random: () => number) => (random() < (choice === "left" ? 0.8 : 0.5) ? 1 : 0);
    let told = 0;
    const lost = () => (++told % 10 === 0 ? Number.POSITIVE_INFINITY : 50);
    const comparisons = new Comparisons(open(t));
    play(comparisons, 1, 4_000, { reward, late: lost });
    assert.equal(verdict(comparisons), "left");
    assert.ok(comparisons.ofCandidates(slot, "left", "right").later.length <= 2_000, "what never comes is left out");
  });

  it("goes on after a restart as if there had been none, and what was not written counts as not read", (t) => {
    const arms = { reward: success(0.6), late: (choice: string) => (choice === "right" ? 300 : 0) };
    const whole = new Comparisons(open(t));
    play(whole, 5, 3_000, arms);

    const database = open(t);
    const first = new Comparisons(database);
    play(first, 5, 1_000, arms);
    first.flush();
    first.select(selected("unwritten", "left"), 0);
    const second = new Comparisons(database);
    play(second, 5, 3_000, arms, undefined, 1_000);
    assert.deepEqual(second.ofCandidates(slot, "left", "right"), whole.ofCandidates(slot, "left", "right"));
    second.flush();
    assert.deepEqual(new Comparisons(database).ofCandidates(slot, "left", "right"), whole.ofCandidates(slot, "left", "right"));
  });

  it("waits no more for what is left out", (t) => {
    const database = open(t);
    const comparisons = new Comparisons(database);
    comparisons.select(selected("never", "left"), 0);
    comparisons.select(selected("step", "left", { episode: { id: "E", step: 0, last: false } }), 0);
    comparisons.select(selected("told", "right"), 0);
    comparisons.reward(slot, "told", 1);
    assert.equal(comparisons.ofCandidates(slot, "left", "right").sides.selections, 0);
    comparisons.leaveOut(["never", "step"].map((id) => ({ id, slot })));
    const { sides, later } = comparisons.ofCandidates(slot, "left", "right");
    assert.deepEqual([sides.selections, sides.right.outcomes, later], [1, 1, []]);
    comparisons.flush();
    assert.equal(database.prepare("SELECT count(*) AS count FROM waiting").get()?.count, 0);
  });

  it("waits for an episode before its steps, also after a restart", (t) => {
    const database = open(t);
    const comparisons = new Comparisons(database);
    const comparison = { number: 1, role: "contender" } as const;
    comparisons.select(selected("d0", "left", { comparison, episode: { id: "e", step: 0, last: false } }), 0);
    comparisons.flush();
    for (const known of [new Comparisons(database), comparisons]) {
      known.reward(slot, "d0", 1);
      assert.equal(known.ofCandidates(slot, "left", "right").sides.selections, 0);
    }
  });

  it("begins anew when rewards are defined anew, and not when they are defined as before", (t) => {
    const comparisons = new Comparisons(open(t));
    play(comparisons, 1, 100, { reward: success(0.5), late: atOnce });
    comparisons.define(slot, defaultReward);
    assert.equal(comparisons.ofCandidates(slot, "left", "right").sides.selections, 100);
    comparisons.select(selected("before", "left"), 0);
    comparisons.define(slot, { ...defaultReward, cost: 1 });
    comparisons.reward(slot, "before", 1);
    assert.equal(comparisons.ofCandidates(slot, "left", "right").sides.selections, 0);
    comparisons.flush();
    comparisons.reload();
    assert.deepEqual(comparisons.ofCandidates(slot, "left", "right").later, []);
  });
});

describe("a comparison of policies", () => {
  it("counts what is part of it alone, and begins anew with the next", (t) => {
    const comparisons = new Comparisons(open(t));
    const tell = (id: string, number: number | undefined, role: "contender" | "serving" = "contender") => {
      const part = number === undefined ? {} : { comparison: { number, role }, assigned: role === "contender" ? 0.05 : 0.95 };
      comparisons.select(selected(id, "left", part), 0);
      comparisons.reward(slot, id, 1);
    };
    tell("a", 1);
    tell("b", 1, "serving");
    tell("asked for by name", undefined);
    const { sides } = comparisons.ofPolicies(slot, 1);
    assert.deepEqual([sides.selections, sides.left.outcomes, sides.left.sum, sides.right.outcomes], [2, 1, 20, 1]);
    assert.equal(comparisons.ofPolicies(slot, 2).sides.selections, 0);
    tell("c", 2);
    tell("late", 1);
    assert.equal(comparisons.ofPolicies(slot, 2).sides.selections, 1);
  });

  it("counts an episode once, by the sum of its rewards, when it is over and all of them are known", (t) => {
    const database = open(t);
    let comparisons = new Comparisons(database);
    const left = (number = 1) => comparisons.ofPolicies(slot, number).sides.left;
    const step = (id: string, step: number, last = false, role: "contender" | "serving" = "contender") =>
      comparisons.select(
        selected(`${id}${step}`, "left", { comparison: { number: 1, role }, assigned: 0.5, episode: { id, step, last } }),
        0,
      );
    step("a", 0);
    comparisons.reward(slot, "a0", -0.25);
    step("a", 1, true);
    assert.equal(left().outcomes, 0);
    comparisons.flush();
    comparisons = new Comparisons(database);
    comparisons.reward(slot, "a1", 1);
    assert.deepEqual([left().outcomes, left().total, left().sum], [1, 0.75, 1.5]);

    step("b", 0);
    step("b", 1);
    comparisons.reward(slot, "b1", -0.75, true);
    assert.equal(left().outcomes, 1, "an outcome is missing");
    comparisons.reward(slot, "b0", -0.75);
    assert.deepEqual([left().outcomes, left().total], [2, -0.25], "clipped at -1");

    step("c", 0);
    step("c", 1, true, "serving");
    step("d", 1, true);
    for (const id of ["c0", "c1", "d1"]) comparisons.reward(slot, id, 1);
    assert.deepEqual([left().outcomes, comparisons.ofPolicies(slot, 1).sides.right.outcomes], [2, 0], "one policy made all choices");
    assert.equal(comparisons.ofCandidates(slot, "left", "right").sides.left.outcomes, 7, "candidates are compared by each choice");
  });

  it("takes an episode to be over when no step came for long", (t) => {
    const comparisons = new Comparisons(open(t));
    const part = { comparison: { number: 1, role: "contender" }, episode: { id: "a", step: 0, last: false } } as const;
    comparisons.select(selected("a0", "left", part), 0);
    comparisons.reward(slot, "a0", 0.5);
    const outcomes = () => comparisons.ofPolicies(slot, 1).sides.left.outcomes;
    assert.equal(outcomes(), 0);
    for (let index = 0; index < 2_000; index++) {
      comparisons.select(selected(`later${index}`, "left"), 0);
      comparisons.reward(slot, `later${index}`, 1);
    }
    assert.equal(outcomes(), 1);
  });
});
