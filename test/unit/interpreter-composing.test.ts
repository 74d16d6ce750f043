import assert from "node:assert/strict";
import { test } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import { patternText, playText } from "../harness/play-text.ts";

const code = (error: unknown) => (error instanceof CodedError ? error.code : error);

test("INCLUDE plays another pattern over the same variables; RETURN ends that pattern, and AS keeps its result", async () => {
  const patterns = { inner: 'EMIT "in:side" WITH {x}\nSTATE made = x + 1\nRETURN made * 10\nEMIT "never:reached"' };
  const text = 'STATE x = 1\nINCLUDE "inner" AS got\nINCLUDE "inner" IF x > 5 AS none\nRETURN {made, got, none}';
  const { result, events } = await playText(text, { patterns });
  assert.deepEqual(result, { made: 2, got: 20 });
  assert.deepEqual(events, ["in:side"]);
});

test("variables of an included pattern are set where the run has none", async () => {
  const inner = patternText("STATE sum = a + b", "variables:\n  a: 10\n  b: {default: 20}\n", "inner");
  const { result } = await playText('INCLUDE "inner"\nRETURN sum', { patterns: { inner }, variables: { a: 1 } });
  assert.equal(result, 21);
});

test("COMBINE plays two patterns, the second over what the first made of the variables", async () => {
  const patterns = { first: "STATE x = 1\nRETURN 'one'", second: "STATE y = x + 1\nRETURN 'two'" };
  assert.deepEqual((await playText('COMBINE "first" WITH "second" AS both\nRETURN {x, y, both}', { patterns })).result, {
    x: 1,
    y: 2,
    both: ["one", "two"],
  });
});

test("patterns that include one another without end are refused, naming the chain", async () => {
  const { error } = await playText('INCLUDE "a"', { patterns: { a: 'INCLUDE "b"', b: 'INCLUDE "a"' } });
  assert.equal(code(error), "PATTERN_INVALID");
  assert.deepEqual((error as CodedError).details.chain, ["test", "a", "b", "a"]);
  const deep = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`p${index}`, `INCLUDE "p${index + 1}"`]));
  const deeper = await playText('INCLUDE "p0"', { patterns: deep });
  assert.equal(code(deeper.error), "PATTERN_INVALID");
  assert.match((deeper.error as Error).message, /deeper than 8/);
});

test("an included pattern that is strict is held to that", async () => {
  const strict = patternText('EMITT "a:b"', "", "strict").replace("strategy:", "strict: true\n  strategy:");
  const { error, events } = await playText('INCLUDE "strict"\nON ERROR:\n  EMIT "x:y"', { patterns: { strict } });
  assert.equal(error, undefined);
  assert.deepEqual(events, ["x:y"]);
});
