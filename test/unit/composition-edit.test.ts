import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readYaml } from "../../daemon/yaml.ts";
import { type FieldPath, formatPath, isObject, parsePath, valueAt, withValue } from "../../modules/composition/field-path.ts";
import { editYaml, reconcile } from "../../modules/composition/yaml-edit.ts";
import { jsonValue, yamlText } from "../harness/yaml-texts.ts";

const dataOf = (text: string): unknown => readYaml(text).data;

/** All fields of a value, leaves and inner ones. */
function pathsOf(data: unknown, path: FieldPath = []): FieldPath[] {
  const inner: [string | number, unknown][] = Array.isArray(data) ? [...data.entries()] : isObject(data) ? Object.entries(data) : [];
  return inner.flatMap(([key, value]) => [[...path, key], ...pathsOf(value, [...path, key])]);
}

const editedText = yamlText.chain((text) => {
  const paths = pathsOf(dataOf(text));
  return fc.record({ text: fc.constant(text), path: fc.constantFrom(...paths), value: fc.option(jsonValue, { nil: undefined }) });
});

test("an edit changes one field and nothing else of what the text says", () => {
  fc.assert(
    fc.property(editedText, ({ text, path, value }) => {
      const edited = editYaml(text, [{ path, value }]);
      assert.deepEqual(dataOf(edited), withValue(dataOf(text), path, value));
    }),
    { numRuns: 500 },
  );
});

test("top-level fields that are not edited keep their bytes, with comments and blank lines", () => {
  const chunks = (text: string) => text.split(/^(?=[\w"][^\n]*:)/m);
  fc.assert(
    fc.property(editedText, ({ text, path, value }) => {
      fc.pre(Object.keys(dataOf(text) as object).length > 1);
      const edited = chunks(editYaml(text, [{ path, value }]));
      for (const chunk of chunks(text)) {
        if (Object.keys((dataOf(chunk) as object | null) ?? {})[0] === String(path[0])) continue;
        assert.ok(
          edited.some((other) => other.includes(chunk.trimEnd())),
          `lost: ${chunk}`,
        );
      }
    }),
    { numRuns: 500 },
  );
});

test("a new field is appended to its map, at any depth", () => {
  fc.assert(
    fc.property(editedText, ({ text, path, value = 1 }) => {
      const above = path.slice(0, -1);
      const parent = Array.isArray(valueAt(dataOf(text), above)) ? [] : above;
      const edit = { path: [...parent, "added", "below"], value };
      const edited = editYaml(text, [edit]);
      assert.deepEqual(dataOf(edited), withValue(dataOf(text), edit.path, value));
    }),
    { numRuns: 500 },
  );
});

test("a text is brought to say anything, and to say it again changes nothing", () => {
  fc.assert(
    fc.property(yamlText, yamlText, (text, other) => {
      const edited = reconcile(text, dataOf(other));
      assert.deepEqual(dataOf(edited), dataOf(other));
      assert.equal(reconcile(edited, dataOf(other)), edited);
    }),
    { numRuns: 500 },
  );
});

test("styles are kept: quotes, block texts and their indentation, brackets, comments on the line", () => {
  const text = `# head
version: "1.0.0" # ours
note: 'it''s'
tags: [a,  b] # odd
logic:
    strategy: |
          ## Look

          RUN "x"

    # about max
    max: 3
steps:
- a # first
- b
`;
  const edited = editYaml(text, [
    { path: ["version"], value: "1.1.0" },
    { path: ["note"], value: "isn't" },
    { path: ["tags", 2], value: "c" },
    { path: ["logic", "strategy"], value: '## Look\n\nRUN "y"\n' },
    { path: ["logic", "min"], value: 1 },
    { path: ["steps", "0"], value: "z" },
    { path: ["steps", 2], value: { name: "c" } },
  ]);
  assert.equal(
    edited,
    `# head
version: "1.1.0" # ours
note: 'isn''t'
tags: [a,  b, c] # odd
logic:
    strategy: |
          ## Look

          RUN "y"

    # about max
    max: 3
    min: 1
steps:
- z # first
- b
- name: c
`,
  );
});

test("a path that leads nowhere is refused and named", () => {
  const text = "a: {b: [1, 2]}\nc: text\n";
  for (const path of ["a.b[3]", "a.b.x", "c.d", "a.b[2].x"]) {
    assert.throws(() => editYaml(text, [{ path: parsePath(path), value: 1 }]), { code: "REQUEST_INVALID" }, path);
  }
  for (const path of ["", "a..b", "[", "a[", ".a", "a.", 'a["b']) assert.throws(() => parsePath(path), { code: "REQUEST_INVALID" }, path);
});

test("a path is read as it is written", () => {
  assert.deepEqual(parsePath('a.b[2].c["d.e"].0'), ["a", "b", 2, "c", "d.e", "0"]);
  const key = fc.string({ minLength: 1 }).filter((name) => name !== "__proto__"); // refused, and fast-check likes to try it
  const part = fc.oneof(fc.nat(99), key);
  fc.assert(fc.property(fc.array(part, { minLength: 1 }), (path) => assert.deepEqual(parsePath(formatPath(path)), path)));
});
