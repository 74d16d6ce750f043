/** What a workflow means: the text that it is translated to, how that is played, and what is refused before anything runs. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { stringify } from "yaml";
import { CodedError } from "../../daemon/errors.ts";
import { explain } from "../../modules/orchestration/explain.ts";
import type { Effect } from "../../modules/orchestration/interpreter/effects.ts";
import { patternOf } from "../../modules/orchestration/pattern.ts";
import { type Answer, playText } from "../harness/play-text.ts";

type Fields = Readonly<Record<string, unknown>>;

const yamlOf = (workflow: unknown, fields: Fields = {}): string =>
  stringify({ name: "flow", type: "orchestration", version: "1.0.0", workflow, ...fields });
const patternWith = (workflow: Fields) => patternOf(yamlOf(workflow));

/** A tool answers with what `tools` has for it; of the candidates the policy takes the first that `wishes` names, else the first. */
async function play(
  workflow: Fields,
  tools: Readonly<Record<string, unknown>> = {},
  wishes: readonly string[] = [],
  variables: Fields = {},
) {
  const { text, strategy } = patternWith(workflow);
  assert.deepEqual(strategy.warnings, [], text);
  const answer: Answer = (effect, step) => {
    if (effect.kind === "run") {
      const result = tools[effect.tool] ?? {};
      if (result instanceof CodedError) throw result;
      return { result: typeof result === "function" ? result(effect.input) : result };
    }
    if (effect.kind !== "choose") return undefined;
    const ids = effect.candidates.map((one) => (one as { id: string }).id);
    return { choice: wishes.find((wish) => ids.includes(wish)) ?? ids[0], probability: 1, decision_id: `decision-${step}` };
  };
  const { result, error, performed } = await playText(text, { variables, answer });
  const effects = performed.map(({ effect }) => JSON.parse(JSON.stringify(effect)) as Effect);
  const of = <Kind extends Effect["kind"]>(kind: Kind) =>
    effects.filter((effect): effect is Extract<Effect, { kind: Kind }> => effect.kind === kind);
  return {
    result,
    error,
    effects,
    tools: of("run").map(({ tool }) => tool),
    runs: of("run"),
    choices: of("choose"),
    outcomes: of("outcome"),
  };
}

function refused(content: string): { message: string; path: unknown } {
  try {
    patternOf(content);
  } catch (error) {
    assert.ok(error instanceof CodedError && error.code === "PATTERN_INVALID", String(error));
    return { message: error.message, path: error.details.path };
  }
  throw new assert.AssertionError({ message: `this was accepted: ${content}` });
}

const rounded = (outcomes: readonly { input: Fields }[]) => outcomes.map(({ input }) => Math.round(Number(input.reward) * 1000) / 1000);
const three = [
  { id: "a", tool: "ta" },
  { id: "b", tool: "tb" },
  { id: "c", tool: "tc" },
];

describe("values in a workflow", () => {
  it("are data at any depth, but for texts that begin with =", async () => {
    const params = {
      plain: "COUNT(files)",
      braces: "a {{limit}} # no comment",
      quotes: 'say "it\'s"\n\tdone',
      count: "= COUNT(files)",
      nested: { list: [1, "= limit + 1", { deep: "= limit", "odd key": null, none: true }], empty: {} },
    };
    const { runs } = await play({ steps: [{ id: "one", tool: "t", params }] }, {}, [], { files: [1, 2], limit: 3 });
    assert.deepEqual(runs[0]?.input, {
      ...params,
      count: 2,
      nested: { list: [1, 4, { deep: 3, "odd key": null, none: true }], empty: {} },
    });
  });

  it("may be expressions over several lines", async () => {
    const steps = [{ id: "one", tool: "t", params: { sum: "= limit +\n  1" } }];
    const { runs } = await play({ steps }, {}, [], { limit: 3 });
    assert.deepEqual(runs[0]?.input, { sum: 4 });
  });
});

describe("a sequential workflow", () => {
  it("is the usual one; the result of a step is its variable, and steps without conditions are mere lines", async () => {
    const steps = [
      { id: "found", tool: "list_files", params: { directory: "= directory" } },
      { id: "first", tool: "profile_file", params: { path: "= found.files[0].path" } },
    ];
    assert.equal(
      patternWith({ steps }).text,
      [
        "## Workflow: one step after the other",
        'RUN "list_files" WITH {directory: directory} AS found',
        'RUN "profile_file" WITH {path: found.files[0].path} AS first',
        "",
      ].join("\n"),
    );
    const tools = { list_files: { files: [{ path: "x" }] }, profile_file: ({ path }: Fields) => ({ seen: path }) };
    const { result } = await play({ steps }, tools, [], { directory: "d" });
    assert.deepEqual(result, { directory: "d", found: { files: [{ path: "x" }] }, first: { seen: "x" } });
  });

  it("plays any acyclic steps after those that they depend on, each once, ties as they are written", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 7 }).chain((count) =>
          fc.record({
            edges: fc.array(fc.tuple(fc.nat(count - 1), fc.nat(count - 1)), { maxLength: 12 }),
            written: fc.shuffledSubarray(
              Array.from({ length: count }, (_, index) => index),
              { minLength: count },
            ),
            byReference: fc.boolean(),
          }),
        ),
        async ({ edges, written, byReference }) => {
          // From the higher number to the lower one, so without a cycle, in whatever order they are written.
          const needs = (step: number) => edges.filter(([from, to]) => from === step && to < from).map(([, to]) => `s${to}`);
          const steps = written.map((step) => ({
            id: `s${step}`,
            tool: `s${step}`,
            ...(byReference ? { params: { from: needs(step).map((need) => `= ${need}.value`) } } : { depends_on: needs(step) }),
          }));
          const { tools } = await play({ steps });
          // By the definition: always the first written of those whose needs are met.
          const expected: string[] = [];
          while (expected.length < steps.length) {
            const ready = written.find((step) => !expected.includes(`s${step}`) && needs(step).every((need) => expected.includes(need)));
            expected.push(`s${ready}`);
          }
          assert.deepEqual(tools, expected);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("passes over a step whose condition is not true, and what depends on it", async () => {
    const steps = [
      { id: "a", tool: "ta" },
      { id: "b", tool: "tb", when: "a.more" },
      { id: "c", tool: "tc", depends_on: ["b"] },
      { id: "d", tool: "td", depends_on: ["a"] },
    ];
    assert.deepEqual((await play({ steps }, { ta: { more: true } })).tools, ["ta", "tb", "tc", "td"]);
    const { tools, result } = await play({ steps });
    assert.deepEqual(tools, ["ta", "td"]);
    assert.deepEqual([(result as Fields).b, (result as Fields).d], [null, {}], "a step that was not done is null");
  });

  it("ends once its goal is reached, which may be before its first step", async () => {
    const workflow = { steps: three, until: "b.ok OR enough", result: { b: "= b.ok", text: "as it is" } };
    const { tools, result } = await play(workflow, { tb: { ok: true } });
    assert.deepEqual([tools, result], [["ta", "tb"], { b: true, text: "as it is" }]);
    assert.deepEqual((await play(workflow, {}, [], { enough: true })).tools, []);
    assert.deepEqual((await play(workflow)).tools, ["ta", "tb", "tc"]);
  });
});

describe("a learned workflow", () => {
  const learned = { strategy: "learned", steps: three };

  it("lets the policy choose among the ready steps in a slot of its own, and tells it what is done and what is the case", async () => {
    const steps = [
      { id: "a", tool: "ta", features: { price: 2, tags: ["= is data here"] } },
      { id: "b", tool: "tb", depends_on: ["a"] },
      { id: "c", tool: "tc", when: "b.more" },
      { id: "d", tool: "td", when: "size > 10" },
    ];
    const workflow = { strategy: "learned", steps, context: { size: "= size", kind: "text" } };
    const { choices, tools } = await play(workflow, { tb: { more: true } }, ["c", "b"], { size: 5 });
    assert.deepEqual(tools, ["ta", "tb", "tc"]);
    assert.deepEqual(
      choices.map(({ candidates }) => candidates),
      [
        [{ id: "a", features: { tool: "ta", price: 2, tags: ["= is data here"] } }],
        [{ id: "b", features: { tool: "tb" } }],
        [{ id: "c", features: { tool: "tc" } }],
      ],
    );
    assert.deepEqual(choices[1]?.slot, "workflow/flow");
    const known = { done_a: true, done_b: false, done_c: false, done_d: false, size: 5, kind: "text" };
    assert.deepEqual(choices[1]?.context, known);
  });

  it("gives each choice what was reached in the end, less the cost from there on", async () => {
    const { outcomes, choices, tools, result } = await play(
      { ...learned, until: "c.ok", cost: 0.1, result: "= workflow.choices.step" },
      { tc: { ok: true } },
      ["b", "c"],
    );
    assert.deepEqual(
      [tools, result],
      [
        ["tb", "tc"],
        ["b", "c"],
      ],
    );
    assert.deepEqual(rounded(outcomes), [0.8, 0.9]);
    assert.equal(new Set(outcomes.map(({ input }) => input.decision_id)).size, choices.length);
  });

  it("has without `until` the goal that every step is done", async () => {
    assert.deepEqual(rounded((await play(learned)).outcomes), [0.85, 0.9, 0.95]);
    const stuck = { ...learned, steps: [...three, { id: "d", tool: "td", when: "a.more" }] };
    assert.deepEqual(rounded((await play(stuck)).outcomes), [-0.15, -0.1, -0.05]);
  });

  it("ends after `most` steps, or before the first when the goal is reached already", async () => {
    const { tools, outcomes } = await play({ ...learned, until: "z.ok", most: 2 });
    assert.deepEqual(
      [tools, rounded(outcomes)],
      [
        ["ta", "tb"],
        [-0.1, -0.05],
      ],
    );
    const { effects } = await play({ ...learned, until: "z.ok" }, {}, [], { z: { ok: true } });
    assert.deepEqual(effects, []);
  });

  it("gives its choices outcomes also when a step fails, and fails with that very error", async () => {
    const failure = new CodedError("TOOL_FAILED", "out of paper", { tray: 2 });
    const { outcomes, error } = await play({ ...learned, cost: 0.1 }, { tb: failure });
    assert.deepEqual(rounded(outcomes), [-0.2, -0.1]);
    assert.ok(error instanceof CodedError);
    assert.deepEqual([error.code, error.message, error.details], ["TOOL_FAILED", "out of paper", { tray: 2, line: 27 }]);
  });

  it("offers of any acyclic steps those that are ready, does each once, and each choice is worth the way from there on", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }).chain((count) =>
          fc.record({
            count: fc.constant(count),
            edges: fc.array(fc.tuple(fc.nat(count - 1), fc.nat(count - 1)), { maxLength: 8 }),
            wishes: fc.shuffledSubarray(
              Array.from({ length: count }, (_, index) => `s${index}`),
              { minLength: count },
            ),
          }),
        ),
        async ({ count, edges, wishes }) => {
          const steps = Array.from({ length: count }, (_, step) => ({
            id: `s${step}`,
            tool: `s${step}`,
            depends_on: edges.filter(([from, to]) => from === step && to < from).map(([, to]) => `s${to}`),
          }));
          const { tools, choices, outcomes } = await play({ strategy: "learned", steps }, {}, wishes);
          for (const [turn, { candidates }] of choices.entries()) {
            const done = tools.slice(0, turn);
            const ready = steps.filter(({ id, depends_on }) => !done.includes(id) && depends_on.every((other) => done.includes(other)));
            assert.deepEqual(
              candidates.map((one) => (one as { id: string }).id),
              ready.map(({ id }) => id),
            );
            assert.equal(
              tools[turn],
              wishes.find((wish) => ready.some(({ id }) => id === wish)),
            );
          }
          assert.equal(tools.length, count);
          assert.deepEqual(
            rounded(outcomes),
            tools.map((_, turn) => Math.round((1 - 0.05 * (count - turn)) * 1000) / 1000),
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  it("fails so that a pattern which includes it can handle the error", async () => {
    const { text } = patternWith(learned);
    const answer: Answer = ({ kind }, step) => {
      if (kind === "run") throw new CodedError("TOOL_FAILED", "out of paper");
      return kind === "choose" ? { choice: "a", probability: 1, decision_id: step } : undefined;
    };
    const including = 'INCLUDE "flow"\nON ERROR:\n  RETURN error.code';
    const { result } = await playText(including, { answer, patterns: { flow: text } });
    assert.equal(result, "TOOL_FAILED");
  });

  it("leaves its choices without an outcome where the run is ended by a limit", async () => {
    const { text } = patternWith(learned);
    const answer: Answer = ({ kind }, step) => (kind === "choose" ? { choice: "a", probability: 1, decision_id: step } : { result: {} });
    const { error, events } = await playText(text, { answer, limits: { steps: 2 } });
    assert.ok(error instanceof CodedError && error.code === "RUN_LIMIT_EXCEEDED");
    assert.deepEqual(events, ["choose", "run"]);
  });

  it("needs the capabilities of its statements, and is the same text each time", () => {
    const { capabilities, slots, tools } = explain(patternWith(learned));
    assert.deepEqual(capabilities, ["policy:outcome", "policy:select", "tool:ta", "tool:tb", "tool:tc"]);
    assert.deepEqual([slots, tools], [["workflow/flow"], ["ta", "tb", "tc"]]);
    assert.equal(patternWith(learned).text, patternWith(learned).text);
  });
});

describe("what a step waits for", () => {
  const order = async (params: Fields, extra: Fields = {}) =>
    (
      await play({
        steps: [
          { id: "late", tool: "late", params, ...extra },
          { id: "early", tool: "early" },
        ],
      })
    ).tools;

  it("is also what its params and its condition read", async () => {
    assert.deepEqual(await order({ x: "= early.y" }), ["early", "late"]);
    assert.deepEqual(await order({ x: { y: ["= COUNT(early.files) + 1"] } }), ["early", "late"]);
    assert.deepEqual(await order({ x: "= [early.files[0].path]" }), ["early", "late"]);
    assert.equal((await order({}, { when: "early.y > 1 OR true" }))[0], "early");
  });

  it("is not guessed where a name may be that of a field, where all variables are read, nor is it the step itself", async () => {
    for (const expression of [
      "FILTER(files, early > 1)",
      "files[early > 1]",
      "files.(early)",
      "x.early",
      "$$.early.y",
      "files^(early)",
      "late.y",
    ]) {
      assert.deepEqual(await order({ x: `= ${expression}` }), ["late", "early"], expression);
    }
  });
});

describe("a workflow that cannot be played", () => {
  const step = (fields: Fields) => ({ steps: [{ id: "a", tool: "t", ...fields }] });
  const cases: readonly [what: string, workflow: unknown, path: string, message: RegExp][] = [
    ["an unknown step", step({ depends_on: ["z"] }), "workflow.steps.0.depends_on.0", /there is no step z/],
    [
      "a cycle",
      {
        steps: [
          { id: "x", tool: "t", depends_on: ["a"] },
          { id: "a", tool: "t", depends_on: ["b"] },
          { id: "b", tool: "t", params: { v: "= c.v" } },
          { id: "c", tool: "t", when: "a.ok" },
        ],
      },
      "workflow.steps.1.depends_on",
      /wait for each other: a → b → c → a/,
    ],
    ["a step that waits for itself", step({ depends_on: ["a"] }), "workflow.steps.0.depends_on", /wait for each other: a → a/],
    ["a duplicate id", { steps: [...three, { id: "b", tool: "t" }] }, "workflow.steps.3.id", /another step has the id b/],
    ["an id that is no variable", step({ id: "not-one" }), "workflow.steps.0.id", /the name of a variable/],
    ["an id of the translation", step({ id: "choice" }), "workflow.steps.0.id", /choice is a variable of every workflow/],
    ["an id that the language takes", step({ id: "WITH" }), "workflow.steps.0.id", /WITH is a word of the language/],
    ["params that are prose", step({ params: { x: ["= what you think"] } }), "workflow.steps.0.params.x.0", /cannot be read/],
    ["an unknown function", step({ when: "MANY(x)" }), "workflow.steps.0.when", /there is no function MANY/],
    ["a bracket that closes another", { ...step({}), until: "a.ok) OR (b" }, "workflow.until", /cannot be read/],
    ["a comment in an expression", { ...step({}), until: "a.ok #$i" }, "workflow.until", /begins a comment/],
    ["a context that cannot be read", { ...step({}), context: { size: "= (" } }, "workflow.context.size", /not closed/],
    ["a result that cannot be read", { ...step({}), result: { x: "=" } }, "workflow.result.x", /an expression is missing/],
    ["an unknown field", { ...step({}), retries: 2 }, "workflow.retries", /is unknown/],
    ["an unknown field of a step", step({ foreach: "x" }), "workflow.steps.0.foreach", /is unknown/],
    ["an unknown strategy", { ...step({}), strategy: "best" }, "workflow.strategy", /expected sequential or learned\.$/],
    ["a strategy of the future", { ...step({}), strategy: "dag" }, "workflow.strategy", /there is no strategy dag yet/],
    ["a limit that would not hold", { ...step({}), most: 1 }, "workflow.most", /is for the strategy learned alone/],
    ["no steps", { steps: [] }, "workflow.steps", /1/],
    ["no mapping", "learned", "workflow", /expected object/],
    [
      "a context that says what is said anyway",
      { ...step({}), strategy: "learned", context: { done_a: 1 } },
      "workflow.context.done_a",
      /told this anyway/,
    ],
    [
      "more than the policy takes",
      { strategy: "learned", steps: Array.from({ length: 33 }, (_, index) => ({ id: `s${index}`, tool: "t" })) },
      "workflow.steps",
      /are 32 at most together/,
    ],
  ];
  for (const [what, workflow, path, message] of cases) {
    it(`is refused: ${what}`, () => {
      const found = refused(yamlOf(workflow));
      assert.match(found.message, message);
      assert.equal(found.path, path);
    });
  }

  it("is refused beside a strategy in words, but not beside other texts", () => {
    const workflow = step({});
    const both = refused(yamlOf(workflow, { orchestration_logic: { strategy: 'EMIT "a:b"' } }));
    assert.match(both.message, /has both/);
    assert.equal(both.path, "workflow");
    const { blocks, text } = patternOf(yamlOf(workflow, { orchestration_logic: { cleanup: 'EMIT "a:b"' } }), "cleanup");
    assert.deepEqual([blocks, text], [["cleanup", "strategy"], 'EMIT "a:b"']);
  });

  it("is refused without a name if it is learned, since that names its slot", () => {
    assert.match(refused(yamlOf({ strategy: "learned", ...step({}) }, { name: undefined })).message, /the pattern has none/);
  });
});
