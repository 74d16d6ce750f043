import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CodedError } from "../../daemon/errors.ts";
import { readYaml, type YamlIssue } from "../../daemon/yaml.ts";

function refusalOf(text: string): YamlIssue {
  try {
    readYaml(text);
  } catch (error) {
    assert.ok(error instanceof CodedError && error.code === "COMPOSITION_INVALID", String(error));
    return (error.details.issues as YamlIssue[])[0] as YamlIssue;
  }
  assert.fail("the text was accepted");
}

test("a block text is read with its values and the places of its fields", () => {
  const { data, locate } = readYaml("name: x\nlogic:\n  strategy: |\n    [[[ {{{ - - -\n  steps:\n    - a\n");
  assert.deepEqual(data, { name: "x", logic: { strategy: "[[[ {{{ - - -\n", steps: ["a"] } });
  assert.deepEqual(locate(["logic", "steps", 0]), { line: 6, column: 7 });
});

test("an error is given with line and column", () => {
  const { line, column } = refusalOf("a: 1\nb: [1, 2\nc: 3\n");
  assert.deepEqual([line, column], [3, 1]);
});

test("a text nested 20 000 deep is refused in every style", () => {
  for (const opening of ["[", "{a: ", "- ", "? ", "- ? "]) assert.match(refusalOf(opening.repeat(20_000)).message, /nested deeper than 64/);
  const indented = Array.from({ length: 500 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n");
  assert.match(refusalOf(indented).message, /nested deeper than 64/);
});

test("64 levels are read and 66 are not", () => {
  readYaml("[".repeat(64) + "]".repeat(64));
  assert.match(refusalOf("[".repeat(66) + "]".repeat(66)).message, /nested deeper/);
});

test("anchors, aliases and tags are refused where they stand", () => {
  assert.equal(refusalOf("a: &x 1").column, 4);
  assert.equal(refusalOf("b: *x").column, 4);
  assert.equal(refusalOf("a: !!binary x").column, 4);
});

test("a key that is given twice is refused with its path", () => {
  const { message, line, path } = refusalOf("a:\n  b: 1\n  b: 2\n");
  assert.deepEqual([message, line, path], ['the key "b" is given twice', 3, "a.b"]);
});

test("the key __proto__ and keys that are no strings are refused", () => {
  assert.match(refusalOf("__proto__: {polluted: true}").message, /__proto__/);
  assert.match(refusalOf("? [a]\n: b").message, /strings/);
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});

test("more than one document and more than 256 KB are refused", () => {
  refusalOf("---\na: 1\n---\nb: 2\n");
  assert.match(refusalOf(`a: ${"x".repeat(262_144)}`).message, /256 KB/);
});

test("whatever the text, it is read or refused with a place, in bounded time", () => {
  const piece = fc.constantFrom(
    "- ",
    "? ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\n",
    "  ",
    "a",
    "'",
    '"',
    "|\n",
    ">-\n",
    "&a ",
    "*a ",
    "!t ",
    "# ",
    "---\n",
    "%",
    "\t",
    "\\",
    "<<: ",
    "\u0000",
    "é",
    "\ud800",
  );
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.array(piece, { maxLength: 400 }).map((pieces) => pieces.join("")),
  );
  fc.assert(
    fc.property(text, fc.constantFrom(1, 1, 50), (part, times) => {
      const began = performance.now();
      try {
        readYaml(part.repeat(times));
      } catch (error) {
        assert.ok(error instanceof CodedError && error.code === "COMPOSITION_INVALID", String(error));
        assert.ok((error.details.issues as YamlIssue[]).every(({ line, column }) => line >= 1 && column >= 1));
      }
      assert.ok(performance.now() - began < 2_000);
    }),
    { numRuns: process.env.REPRISE_SOAK ? 20_000 : 1_000 },
  );
});
