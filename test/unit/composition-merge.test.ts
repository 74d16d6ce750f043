import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readYaml } from "../../daemon/yaml.ts";
import { readComposition } from "../../modules/composition/content.ts";
import { mergeData, type Resolution } from "../../modules/composition/data-merge.ts";
import { parsePath, valueAt } from "../../modules/composition/field-path.ts";
import { merge as mergeCompositions } from "../../modules/composition/merge.ts";
import { mergeTexts } from "../../modules/composition/text-merge.ts";
import { editYaml } from "../../modules/composition/yaml-edit.ts";
import { jsonValue, yamlText } from "../harness/yaml-texts.ts";

const dataOf = (text: string): unknown => readYaml(text).data;

/** Merges texts that do not conflict. */
function merge(base: string, ours: string, theirs: string): string {
  const { value, conflicts } = mergeData(dataOf(base), dataOf(ours), dataOf(theirs));
  assert.deepEqual(conflicts, []);
  const text = mergeTexts({ base, ours, theirs }, value);
  assert.deepEqual(dataOf(text), value);
  return text;
}

test("what only one side changed is taken from it, byte for byte", () => {
  fc.assert(
    fc.property(yamlText, yamlText, (base, changed) => {
      assert.equal(merge(base, changed, base), changed);
      assert.equal(merge(base, base, changed), changed);
      assert.equal(merge(base, changed, changed), changed);
    }),
    { numRuns: 300 },
  );
});

test("what is a composition's own stays so, and all else is taken byte for byte from the side that changed it", () => {
  const inner = yamlText.map((text) => text.replaceAll(/^---$/gm, "").replaceAll(/^(?=[^\n])/gm, "  "));
  const version = (text: string) => ({ text, fields: readComposition(text) });
  const compositionOf = (name: string, number: string, body: string) =>
    version(`# about it\nname: ${name} # own\ntype: component\nversion: ${number}\ntags: [a]\nbody:\n${body}`);
  fc.assert(
    fc.property(inner, inner, (before, after) => {
      const [base, ours] = [compositionOf("demo", "1.0.0", before), compositionOf("demo", "1.1.0", before)];
      const theirs = compositionOf("fork", "3.0.0", after);
      const merged = mergeCompositions({ base, ours, theirs, strategy: "full", improvements: [], resolutions: [] });
      assert.deepEqual(merged, { text: compositionOf("demo", "1.1.0", after).text });
      const back = mergeCompositions({ base, ours: theirs, theirs: ours, strategy: "full", improvements: [], resolutions: [] });
      assert.deepEqual(back, { text: theirs.text });
    }),
    { numRuns: 300 },
  );
});

const document = fc.dictionary(
  fc.constantFrom("a", "b", "c", "tags"),
  fc.oneof(jsonValue, fc.dictionary(fc.constantFrom("x", "y"), jsonValue, { noNullPrototype: true })),
  {
    noNullPrototype: true,
  },
);

test("merging is symmetric: the same conflicts, and the same result where there are none", () => {
  fc.assert(
    fc.property(document, document, document, (base, ours, theirs) => {
      const [there, back] = [mergeData(base, ours, theirs), mergeData(base, theirs, ours)];
      const pathsOf = ({ conflicts }: typeof there) => conflicts.map(({ path }) => path).sort();
      assert.deepEqual(pathsOf(there), pathsOf(back));
      if (there.conflicts.length === 0) {
        const { tags: left, ...others } = there.value as Record<string, unknown>;
        const { tags: right, ...same } = back.value as Record<string, unknown>;
        assert.deepEqual(others, same);
        if (Array.isArray(left)) assert.deepEqual(new Set(left), new Set(right as unknown[]));
      }
    }),
    { numRuns: 2_000 },
  );
});

test("no edit is lost: each field says what the side that changed it says, or is a conflict", () => {
  fc.assert(
    fc.property(document, document, document, (base, ours, theirs) => {
      const { value, conflicts } = mergeData(base, ours, theirs);
      for (const path of ["a", "b", "c", "a.x", "a.y", "b.x", "c.y"].map(parsePath)) {
        const [before, our, their, merged] = [base, ours, theirs, value].map((data) => JSON.stringify(valueAt(data, path)));
        if (conflicts.some((conflict) => conflict.path.startsWith(String(path[0])))) continue;
        if (our === before) assert.equal(merged, their);
        else if (their === before) assert.equal(merged, our);
      }
    }),
    { numRuns: 2_000 },
  );
});

test("texts with edits at different keys merge in either order to the same, and keep every comment", () => {
  const keys = ["left", "right", "both"];
  const text = fc
    .tuple(yamlText, yamlText, yamlText)
    .map((parts) =>
      parts
        .map((part, at) => `# about ${keys[at]}\n${keys[at]}: # here\n${part.replaceAll(/^---$/gm, "").replaceAll(/^(?=[^\n])/gm, "  ")}`)
        .join(""),
    );
  fc.assert(
    fc.property(text, jsonValue, jsonValue, (base, left, right) => {
      const ours = editYaml(base, [{ path: ["left", "new"], value: left }]).replace("# about left", "# about left, ours");
      const theirs = editYaml(base, [{ path: ["right", "new"], value: right }]).replace("# here", "# there");
      const merged = merge(base, ours, theirs);
      assert.deepEqual(dataOf(merged), dataOf(merge(base, theirs, ours)));
      assert.ok(merged.includes("# about left, ours") && merged.includes("# there"), merged);
    }),
    { numRuns: 200 },
  );
});

test("arbitrary texts merge to what their data merge to, and lose no comment that a side added", () => {
  fc.assert(
    fc.property(yamlText, yamlText, yamlText, (base, one, other) => {
      const [ours, theirs] = [`${one}# ours\n`, `${other}# theirs\n`];
      const { value } = mergeData(dataOf(base), dataOf(ours), dataOf(theirs));
      const merged = mergeTexts({ base, ours, theirs }, value);
      assert.deepEqual(dataOf(merged), value);
      assert.ok(merged.includes("# ours") && merged.includes("# theirs"), merged);
    }),
    { numRuns: 500 },
  );
});

const base = `name: demo # the name
tags: [a, b]
logic:
  # how it goes
  strategy: |
    FIRST:
      RUN "a"

    THEN:
      RUN "b"

    FINALLY:
      RETURN 1
  max: 3
`;

test("inside a text of many lines each line has its own history", () => {
  const ours = base.replace('RUN "a"', 'RUN "a1"').replace("max: 3", "max: 3 # enough");
  const theirs = base
    .replace("RETURN 1", "RETURN 2")
    .replace("# how it goes", "# how it goes now")
    .replace("max: 3", "max: 5")
    .replace("a, b", "a, b, c");
  const merged = base
    .replace('RUN "a"', 'RUN "a1"')
    .replace("RETURN 1", "RETURN 2")
    .replace("# how it goes", "# how it goes now")
    .replace("  max: 3", "  # enough\n  max: 5")
    .replace("a, b", "a, b, c");
  assert.equal(merge(base, ours, theirs), merged);
});

test("a conflict names the place, and its resolution settles it", () => {
  const side = (a: string, tag: string, max: number) =>
    dataOf(base.replace('"a"', a).replace("[a, b]", `[a, ${tag}]`).replace("3", `${max}`));
  const at = (resolutions: readonly Resolution[] = []) => mergeData(dataOf(base), side('"x"', "c", 4), side('"y"', "d", 5), resolutions);
  assert.deepEqual(at().conflicts, [
    { path: "logic.strategy[2]", base: '  RUN "a"', ours: '  RUN "x"', theirs: '  RUN "y"' },
    { path: "logic.max", base: 3, ours: 4, theirs: 5 },
  ]);
  assert.deepEqual(valueAt(at().value, ["tags"]), ["a", "c", "d"]);
  const settled = at([
    { path: ["logic", "max"], choice: { value: 9 } },
    { path: ["logic"], choice: "theirs" },
  ]);
  assert.deepEqual([settled.conflicts, settled.unused], [[], []]);
  assert.equal(valueAt(settled.value, ["logic", "max"]), 9);
  assert.match(String(valueAt(settled.value, ["logic", "strategy"])), /RUN "y"/);
  const choice = "ours";
  assert.deepEqual(at([{ path: ["name"], choice }]).unused, [{ path: ["name"], choice }]);
});

test("texts with nothing in common conflict as a whole, in bounded time", () => {
  const lines = (mark: string) => Array.from({ length: 20_000 }, (_, at) => `${mark}${at}`).join("\n");
  const { conflicts } = mergeData({ text: lines("a") }, { text: lines("b") }, { text: lines("c") });
  assert.deepEqual(
    conflicts.map(({ path }) => path),
    ["text[1]"],
  );
});

test("a field that one side removed and the other changed is a conflict without a value on that side", () => {
  assert.deepEqual(mergeData({ a: { b: 1 } }, {}, { a: { b: 2 } }).conflicts, [
    { path: "a", base: { b: 1 }, ours: undefined, theirs: { b: 2 } },
  ]);
});

test("entries of a list merge one by one, and keep the comments of either side", () => {
  const list = "steps:\n- run: a # one\n  max: 1\n- run: b\n- run: c\n";
  const ours = list.replace("- run: b", "# b is slow\n- run: b\n  slow: true");
  const theirs = list.replace("max: 1", "max: 2 # more").replace("- run: c\n", "- run: c\n- run: d # last\n");
  assert.equal(
    merge(list, ours, theirs),
    "steps:\n- run: a # one\n  max: 2 # more\n# b is slow\n- run: b\n  slow: true\n- run: c\n- run: d # last\n",
  );
});
