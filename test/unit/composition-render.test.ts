import assert from "node:assert/strict";
import { test } from "node:test";
import { readComposition } from "../../modules/composition/content.ts";
import { render } from "../../modules/composition/render.ts";

const typeOf = (name: string) => (name.startsWith("part") ? "component" : "orchestration");

/** Renders `root`; the others are found by their names. Each text is what follows the name, type and version. */
async function rendered(texts: Record<string, string>, variables?: Record<string, unknown>, isStrict = true) {
  const sources = new Map(
    Object.entries(texts).map(([name, body]) => {
      const text = `name: ${name}\ntype: ${typeOf(name)}\nversion: 1.0.0\n${body}`;
      return [name, { file: `${typeOf(name)}s/${name}.yaml`, text, fields: readComposition(text) }];
    }),
  );
  const root = sources.get("root");
  assert.ok(root);
  return render(root, async (name) => sources.get(name), { variables, isStrict });
}

async function dataOf(texts: Record<string, string>, variables?: Record<string, unknown>) {
  const { name: _, type: __, version: ___, ...data } = (await rendered(texts, variables)).data;
  return data;
}

const failure = (texts: Record<string, string>) =>
  rendered(texts).then(
    () => assert.fail("it was rendered"),
    (error: { code: string; message: string; details: unknown }) => error,
  );

test("a text with nothing to put in is rendered as it is", async () => {
  const body = "# as it is\ntags:   [a]\norchestration_logic:\n  strategy: |\n    RUN {{x}}\n";
  const { content, sources } = await rendered({ root: body });
  assert.deepEqual([content, sources], [`name: root\ntype: orchestration\nversion: 1.0.0\n${body}`, ["root@1.0.0"]]);
});

test("nearest wins: parent, mixins in order, variables of components, itself; lists are replaced, maps merged, null takes away", async () => {
  const texts = {
    root: "extends: middle\nmixins: [first, second]\ncomponents: [part]\nvariables: {own: r}\ntags: [r]\nextra: null\n",
    middle: "extends: far\ntags: [m, m2]\nnested: {a: {x: m}}\nlearnings: [m]\ndescription: M\n",
    far: "capabilities: [tool:a]\nnested: {a: {x: f, y: f}, b: [1, 2]}\nextra: f\n",
    first: "variables: {one: f, two: f, own: f}\nnested: {b: [3]}\n",
    second: "variables: {two: s, three: s}\n",
    part: "variables: {three: p, own: p}\n",
  };
  assert.deepEqual(await dataOf(texts), {
    capabilities: ["tool:a"],
    nested: { a: { x: "m", y: "f" }, b: [3] },
    tags: ["r"],
    description: "M",
    variables: { one: "f", two: "s", three: "p", own: "r" },
  });
});

test("variables stand in texts, keep their type as a whole value, and are overridden by the call", async () => {
  const root = `variables: {who: you, list: [1, 2], deep: {at: here}, described: {default: d, description: D}}
description: "Hello {{who}}, {{ deep.at }}, {{list}}, {{other|no one}}, {{described}}, \\\\{{who}}, {{who + 1}}"
whole: "{{list}}"
orchestration_logic:
  strategy: |
    EMIT "{{who}}" {{other|3}} {{who|4}} {{state}}
`;
  const data = await dataOf({ root }, { who: "all" });
  assert.equal(data.description, "Hello all, here, [1,2], no one, d, {{who}}, {{who + 1}}");
  assert.deepEqual(data.whole, [1, 2]);
  assert.equal(data.variables?.who, "all");
  assert.equal(data.orchestration_logic?.strategy, 'EMIT "{{who}}" 3 {{who}} {{state}}\n');
});

test("a variable without a value is named with its file, line and column, also in what is inherited", async () => {
  const texts = {
    root: "extends: parent\nother: 1\n",
    parent: "prompt: |\n  Be kind.\n  Be {{mood}}.\n",
  };
  const { code, message, details } = await failure(texts);
  assert.equal(code, "COMPOSITION_INVALID");
  assert.equal(message, "orchestrations/parent.yaml, line 6, column 1: prompt: the variable mood has no value and no default");
  assert.deepEqual(details, {
    file: "orchestrations/parent.yaml",
    issues: [{ message: "the variable mood has no value and no default", line: 6, column: 1, path: "prompt" }],
  });
  assert.match((await failure({ root: 'a:\n  - "{{constructor}}"\n' })).message, /line 5, column 5: a\.0: the variable constructor/);
});

test("where it is not an error, a variable without a value is left as it stands", async () => {
  const { data } = await rendered({ root: "whole: '{{ mood }}'\ntext: Be {{mood}}, {{who}}, {{other|so}}.\n" }, { who: "you" }, false);
  assert.deepEqual([data.whole, data.text], ["{{ mood }}", "Be {{mood}}, you, so."]);
});

test("a component is put where it is referred to: as a value, as lines, within a line", async () => {
  const root = `components: [part, {name: part-list, variables: {tone: kind}}, part-text]
orchestration_logic:
  strategy: |
    FIRST:
      {{component:part}}
    THEN: {{component:part-text}}!
list: "{{component:part-list}}"
`;
  const data = await dataOf({
    root,
    part: 'components: [part-text]\norchestration_logic:\n  strategy: |\n    RUN "a"\n    IF b:\n      {{component:part-text}}\n',
    "part-list": "variables: {tone: rude}\ncontent: [1, '{{tone}}']\n",
    "part-text": "content: RETURN 1\n",
  });
  assert.equal(data.orchestration_logic?.strategy, 'FIRST:\n  RUN "a"\n  IF b:\n    RETURN 1\nTHEN: RETURN 1!\n');
  assert.deepEqual(data.list, [1, "kind"]);
  assert.match((await failure({ root: 'a: "{{component:part}}"\n' })).message, /line 4, column 4: a: .*part is not among the components/);
  assert.match(
    (await failure({ root: "components: [part]\na: '{{component:part}}'\n", part: "" })).message,
    /has neither content nor a strategy/,
  );
});

test("what is missing, leads back to itself, leads too far, or has another type is named with its place", async () => {
  const chain = (length: number) =>
    Object.fromEntries(Array.from({ length }, (_, at) => [at === 0 ? "root" : `p${at}`, at === length - 1 ? "" : `extends: p${at + 1}\n`]));
  assert.match(
    (await failure({ root: "x: 1\nextends: nobody\n" })).message,
    /^orchestrations\/root\.yaml, line 5, column 10: extends: there is no composition nobody$/,
  );
  assert.match((await failure({ root: "mixins: [a, c]\n", a: "" })).message, /line 4, column 13: mixins\.1: there is no composition c/);
  assert.match(
    (await failure({ root: "extends: a\n", a: "extends: b\n", b: "extends: a\n" })).message,
    /b\.yaml, line 4, .*leads back to itself: root → a → b → a$/,
  );
  assert.match((await failure({ root: "components: [part]\n", part: "components: [part]\n" })).message, /root → part → part/);
  assert.match((await failure({ root: "extends: part\n", part: "" })).message, /part is of the type component, not orchestration/);
  assert.match((await failure({ root: "extends: [a, b]\n", a: "", b: "" })).message, /several parents/);
  await rendered(chain(33));
  assert.match((await failure(chain(34))).message, /leads further than 32 compositions: root → p1 → .* → p33$/);
  await failure(chain(101));
});

test("components that multiply each other are stopped", async () => {
  const parts = Object.fromEntries(
    Array.from({ length: 30 }, (_, at) => [
      `part${at}`,
      at === 29
        ? "content: 'long enough'\n"
        : `components: [part${at + 1}]\ncontent: "{{component:part${at + 1}}} {{component:part${at + 1}}}"\n`,
    ]),
  );
  assert.match((await failure({ root: "components: [part0]\na: '{{component:part0}}'\n", ...parts })).message, /larger than 256 KB/);
});
