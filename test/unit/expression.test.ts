import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import jsonata from "jsonata";
import { askEngine } from "../../modules/orchestration/language/direct.ts";
import { readExpression } from "../../modules/orchestration/language/expression.ts";
import { tokenize } from "../../modules/orchestration/language/tokens.ts";
import { ExpressionProblem } from "../../modules/orchestration/language/translate.ts";

const read = (text: string) => readExpression(text, tokenize(text));
const plain = (value: unknown) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

/** By the engine, over only what the translation says it reads. */
async function evaluate(text: string, state: Record<string, unknown> = {}): Promise<unknown> {
  const { jsonata: expression, reads } = read(text);
  const input = reads === undefined ? state : Object.fromEntries(reads.filter((name) => name in state).map((name) => [name, state[name]]));
  return plain(await jsonata(expression).evaluate(input));
}

const state = {
  rate: 0.4,
  done: false,
  name: "Ada",
  methods: ["gzip", "zstd"],
  files: [
    { path: "a.ts", size: 30, tags: ["x"] },
    { path: "b.md", size: 10, tags: [] },
    { path: "c.ts", size: 20, tags: ["x", "y"] },
  ],
  best: { score: 3 },
};

const meanings: [expression: string, value: unknown][] = [
  ["rate > 30%", true],
  ["rate > 30% AND NOT done", true],
  ["10 % 4", 2],
  ["10 %4", 2],
  ["5min + 30s", 330],
  ["500ms", 0.5],
  ["2h", 7200],
  ["name == 'Ada' && !done", true],
  ["name == 'Bob' || rate = 0.4", true],
  ["NOT name == 'Bob'", true],
  ["NOT done AND rate > 1", false],
  ['"gzip" IN methods', true],
  ["{{name}}", "Ada"],
  ['"Hello {{name}}, {{best.score}} of {{COUNT(files)}}"', "Hello Ada, 3 of 3"],
  [
    "{score: best.score, 'rate': rate, name, max-age: 1, nested: {a: 1,},}",
    { score: 3, rate: 0.4, name: "Ada", "max-age": 1, nested: { a: 1 } },
  ],
  ["{a: done ? 1 : 2}", { a: 2 }],
  ["[1, 2, rate > 30%,]", [1, 2, true]],
  ["LENGTH(files)", 3],
  ["LENGTH(name)", 3],
  ["LENGTH(nothing)", 0],
  ["SUM(files.size)", 60],
  ["AVERAGE(files.size)", 20],
  ["MIN(files.size) + MAX(files.size)", 40],
  ["VARIANCE([2, 4])", 1],
  ["VARIANCE(files.size) > 66 AND VARIANCE(files.size) < 67", true],
  ["SORT(files.size)", [10, 20, 30]],
  ["UNIQUE([1, 1, 2])", [1, 2]],
  ["RANGE(1, 3)", [1, 2, 3]],
  ["RANGE(files.size)", 20],
  ["FILTER(files, size > 15).path", ["a.ts", "c.ts"]],
  ["FILTER(files, size > 25)", [{ path: "a.ts", size: 30, tags: ["x"] }]],
  ["FILTER(files, size > 99)", []],
  ["FILTER(nothing, size > 99)", []],
  ["FILTER(files, size > $$.best.score * 5).size", [30, 20]],
  ["EXTRACT(files, path)", ["a.ts", "b.md", "c.ts"]],
  ["EXTRACT(files WHERE size < 15, path)", ["b.md"]],
  ["SELECT_MAX(files, size).path", "a.ts"],
  ["SELECT_MIN(files, size).path", "b.md"],
  ["SELECT_MAX([3, 9, 4], $)", 9],
  ["GROUP_BY(files, $substringAfter(path, '.'), SUM(size))", { ts: 50, md: 10 }],
  ["GROUP_BY(files, size, COUNT(path))", { "10": 1, "20": 1, "30": 1 }],
  ["$map(methods, function($method) { {name: $method} })", [{ name: "gzip" }, { name: "zstd" }]],
  ["files[size = 20].path", "c.ts"],
  ["files{path: size}", { "a.ts": 30, "b.md": 10, "c.ts": 20 }],
  ["$match(name, /d(a)/).match", "da"],
  ["($half := rate / 2; $half * 2)", 0.4],
  ["`name`", "Ada"],
];

for (const [expression, value] of meanings) {
  test(`${expression} is ${JSON.stringify(value)}`, async () => assert.deepEqual(await evaluate(expression, state), value));
}

for (const prose of [
  "the mood is bad",
  "not enough food, or too much",
  "SCORE(agents)",
  "it's done",
  "a b",
  "(1",
  "1)",
  "{a b}",
  "{a: }",
  "rate >",
  "",
  "MIN()",
  "“curly”",
]) {
  test(`${JSON.stringify(prose)} is prose`, () => assert.throws(() => read(prose), ExpressionProblem));
}

test("a nesting deeper than any person writes is prose, not a crash", () => {
  assert.throws(() => read("(".repeat(50_000) + 1 + ")".repeat(50_000)), ExpressionProblem);
});

test("an expression that asks for the time or for chance is volatile", () => {
  assert.equal(read("$now()").volatile, true);
  assert.equal(read('"at {{$millis()}}"').volatile, true);
  assert.equal(read("rate + 1").volatile, false);
});

test("an expression over the whole state reads everything, others only the names in it", () => {
  assert.equal(read("$keys($)").reads, undefined);
  assert.equal(read("*[0]").reads, undefined);
  assert.deepEqual(read("a.b * c - d[e = 1].f").reads, ["a", "c", "d", "e"]);
});

const name = fc.constantFrom("a", "b", "c");
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(name, tie("value"), { maxKeys: 3 }),
  ),
})).value;
const simple: fc.Arbitrary<string> = fc.letrec<{ expression: string }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 3 },
    fc.array(name, { minLength: 1, maxLength: 3 }).map((steps) => steps.join(".")),
    fc.array(name, { minLength: 1, maxLength: 2 }).map((steps) => `{{${steps.join(".")}}}`),
    fc.nat(1000).map((number) => `${number / 8}`),
    fc.nat(1000).map((number) => `-${number}`),
    fc.nat(300).map((number) => `${number}%`),
    fc.constantFrom("true", "false", "null", "'text'", '"text"', "30s", "'a {{a}} {{b.c}}'", "'\\n'", "''", "'{{a}}{{b}}'"),
    fc.array(tie("expression"), { maxLength: 3 }).map((items) => `[${items.join(", ")}]`),
    fc
      .array(fc.tuple(fc.constantFrom("x", '"y z"', "a"), tie("expression")), { maxLength: 3 })
      .map((entries) => `{${entries.map(([key, value]) => `${key}: ${value}`).join(", ")}}`),
  ),
})).expression;

test("what is evaluated without the engine means what the engine says", async () => {
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(simple, fc.dictionary(name, json, { maxKeys: 3 }), async (text, input) => {
      const expression = read(text);
      const value = expression.direct?.(input);
      if (expression.direct === undefined || value === askEngine) return;
      compared++;
      assert.deepEqual(plain(value), plain(await jsonata(expression.jsonata).evaluate(input)), expression.jsonata);
    }),
    { numRuns: 3000 },
  );
  assert.ok(compared > 1000, `only ${compared} expressions were evaluated without the engine`);
});
