import assert from "node:assert/strict";
import { test } from "node:test";
import { readExpression } from "../../modules/orchestration/language/expression.ts";
import { parseStrategy } from "../../modules/orchestration/language/parser.ts";
import { tokenize } from "../../modules/orchestration/language/tokens.ts";

/** Some parse alone, some only beside others, some never. */
const written = [
  "1 + 2",
  "a + ",
  "a; b",
  "a, b",
  "a) + (b",
  "a] + [b",
  "x /* y",
  "y */ z",
  "(a; b)",
  "[1..3]",
  "1..3",
  "SUM(a.b) > 3 ? $x : {y: 2}",
  "? : a",
  "a ? b",
  "%",
  "a.%",
  "a[b > 1].c ~> $sum",
  "function($x) { $x + 1 }",
  "$map(a, function($x) { $x",
  "a ~> | b | {c: 1} |",
  "a | b",
  "! a = b",
  "$sum(?, 1)",
  "?",
  "a^(>b)",
  "@ a",
  '"{{a +}}" & b',
  "/a/ + b",
  "a := 1",
  "$a := 1",
];

const parsesAlone = (text: string): boolean => {
  try {
    readExpression(text, tokenize(text));
    return true;
  } catch {
    return false;
  }
};

test("an expression is one beside any other exactly if it is one alone", () => {
  const alone = written.map(parsesAlone);
  assert.ok(alone.includes(true) && alone.includes(false));
  for (const [first, one] of written.entries()) {
    for (const [second, other] of written.entries()) {
      const { statements } = parseStrategy(`STATE x = ${one}\nSTATE y = ${other}`);
      const expected = [alone[first], alone[second]].map((isExpression) => (isExpression ? "assign" : "judgement"));
      const read = statements.map(({ kind }) => kind);
      if (statements.length === 2) assert.deepEqual(read, expected, `${one}   beside   ${other}`);
    }
  }
});
