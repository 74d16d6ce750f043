import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Statement, walk } from "../../modules/orchestration/language/ast.ts";
import { blockGrammar, lineGrammar } from "../../modules/orchestration/language/grammar.ts";
import { parseStrategy } from "../../modules/orchestration/language/parser.ts";

const kinds = (text: string) => [...walk(parseStrategy(text).statements)].map(({ kind }) => kind);
const only = (text: string): Statement => {
  const { statements } = parseStrategy(text);
  assert.equal(statements.length, 1, JSON.stringify(statements));
  return statements[0] as Statement;
};

/** Each statement in each of its forms, and what it becomes. */
const forms: [text: string, kind: Statement["kind"]][] = [
  ["FIRST:\n  STATE a = 1", "group"],
  ["THEN: STATE a = 1", "group"],
  ["FINALLY:\n  STATE a = 1", "group"],
  ['STAGE "warm up":\n  STATE a = 1', "group"],
  ["IF a > 1:\n  STATE b = 1", "if"],
  ["IF a > 1\n  STATE b = 1", "if"],
  ["if rate > 30%:\n  STATE b = 1", "if"],
  ["IF a ? b : c:\n  STATE b = 1", "if"],
  ["BRANCH a:\n  CASE 1:\n    STATE b = 1\n  ELSE:\n    STATE b = 2", "branch"],
  ["LOOP i FROM 1 TO n + 1:\n  STATE b = i", "loop"],
  ["FOREACH x IN xs:\n  STATE b = x", "foreach"],
  ["FOR EACH x IN xs[a IN [1]]:\n  STATE b = x", "foreach"],
  ["for each x in xs:\n  STATE b = x", "foreach"],
  ["WHILE a < 3 MAX 5:\n  UPDATE a = a + 1", "while"],
  ["PARALLEL:\n  STATE a = 1", "parallel"],
  ["PARALLEL MAX 2:\n  STATE a = 1", "parallel"],
  ["RETRY 3 TIMES BACKOFF 2s:\n  STATE a = 1", "retry"],
  ["STATE a = {b: 1, # one\n  c: [2,\n 3]}", "assign"],
  ["state a = 1", "assign"],
  ["UPDATE a.b = 1", "assign"],
  ["UPDATE a SET b = 1, c.d = {e: 2}", "assign"],
  ["CALCULATE a = AVERAGE(xs)", "assign"],
  ["CALCULATE a =\n    b + c", "assign"],
  ["APPEND a.b {c: 1}", "append"],
  ["APPEND a 'x'", "append"],
  ['EMIT "a:b"', "emit"],
  ['EMIT "a:{{b}}" WITH {c: 1} AFTER 30s AS d', "emit"],
  ["EVENT a:b {c: 1}", "emit"],
  ["EVENT a:b", "emit"],
  ['CALL "a:b" WITH {c: 1} AS d', "call"],
  ['RUN "t" WITH {c: 1} AS d', "run"],
  ["CHOOSE x FROM [1, 2] FOR {a, b} AS c", "choose"],
  ["OUTCOME c reward: a - b", "outcome"],
  ['TRACK decision: "x" WITH confidence: 0.5, options: [1, 2]', "track"],
  ['TRACK {decision: "x"}', "track"],
  ['TRACK decision: "x"\n  WITH confidence: 50%', "track"],
  ["RETURN {a}", "return"],
  ['ABORT "no"', "abort"],
  ["EMIT 'a:b'\nON ERROR:\n  STATE a = 1", "attempt"],
  ["WHEN a:b:\n  STATE a = 1", "on"],
  ["ON order:placed:\n  STATE a = 1", "on"],
  ["DURING warm up:\n  STATE a = 1", "group"],
  ["STAGE setup:\n  AFTER setup:\n    STATE a = 1", "group"],
  ["RACE:\n  STATE a = 1", "race"],
  ["QUERY {types: ['a:*']} AS x", "query"],
  ['SPAWN w WITH profile: "p", task: "t"', "spawn"],
  ["SPAWN {profile: 'p', count: 3} AS ws", "spawn"],
  ["SEND w {a: 1} AWAIT REPLY WITHIN 30s AS r", "send"],
  ["SEND {to: w, message: 'x'}", "send"],
  ["TERMINATE w", "terminate"],
  ["AWAIT a:b WHERE x = 1 WITHIN 30s AS e", "await"],
  ["AWAIT {event: 'a:b', min: 2} AS es", "await"],
  ['CONSIDER "a:b" WITH {c: 1} IF d', "consider"],
  ['ASK "ok?" OPTIONS ["yes", "no"] WITHIN 1h AS answer', "ask"],
  ['INCLUDE "p" IF a', "include"],
  ['COMBINE "a" WITH "b"', "combine"],
];
for (const [text, kind] of forms) {
  test(`${JSON.stringify(text)} is ${kind}, without a warning`, () => {
    assert.equal(only(text).kind, kind);
    assert.deepEqual(parseStrategy(text).warnings, []);
  });
}

test("every keyword of the grammar is in the forms above", () => {
  const written = forms.map(([text]) => text).join("\n");
  const missing = [...Object.keys(blockGrammar), ...Object.keys(lineGrammar)].filter(
    (keyword) => !written.includes(keyword) && !["ELIF"].includes(keyword),
  );
  assert.deepEqual(missing, []);
});

for (const prose of [
  "Consider the mood of the room.",
  "Return home when it's late.",
  "Abort mission",
  "Run tests before you commit.",
  "Call your mother (often).",
  "Emit confidence.",
  "state of the art",
  "Update the plan, then loop back to the start.",
  "on the other hand, wait",
  "- EMIT is a verb",
  "“Quoted” – with dashes…",
  "I think { this is open",
  "Then: look around, slowly",
  "If the choice looks odd, say why: it helps.",
]) {
  test(`${JSON.stringify(prose)} is a judgement point, without a warning`, () => {
    assert.equal(only(prose).kind, "judgement");
    assert.deepEqual(parseStrategy(prose).warnings, []);
  });
}

const doubtful: [text: string, line: number, column: number, suggestion: RegExp | undefined][] = [
  ['  EMITT "a:b"', 1, 3, /did you mean EMIT/],
  ["UPDATE position WITH velocity", 1, 30, /UPDATE name/],
  ["SPAWN swarm_agents WITH:\n  - ten of them\n  - all different", 1, 24, /SPAWN name/],
  ["GATHER all the data", 1, 1, undefined],
  ["EMIT a:b", 1, 6, /EMIT "domain:event"/],
  ["STATE x = SCORE(agents)", 1, 11, /STATE name/],
  ['fine\nEMIT "a:b" WITH {\n  c: 1', 2, 17, /EMIT/],
  ["ELSE:\n  EMIT 'a:b'", 1, 1, /after the block of an IF/],
  ["FOREACH agent OF swarm:\n  EMIT 'a:b'", 1, 23, /FOREACH item IN list/],
];
for (const [text, line, column, suggestion] of doubtful) {
  test(`${JSON.stringify(text)} is a judgement point with a warning at ${line}:${column}`, () => {
    const { statements, warnings } = parseStrategy(text);
    assert.equal(statements.at(-1)?.kind === "judgement" || statements.some(({ kind }) => kind === "judgement"), true);
    assert.deepEqual(warnings[0]?.position, { line, column });
    if (suggestion === undefined) assert.equal(warnings[0]?.suggestion, undefined);
    else assert.match(warnings[0]?.suggestion ?? "", suggestion);
  });
}

test("a bulleted text below a line belongs to its judgement point", () => {
  const judgement = only("Weigh these:\n  - cost\n  - time");
  assert.equal(judgement.kind === "judgement" && judgement.text, "Weigh these:\n- cost\n- time");
});

test("a block below conditional prose is guarded by it, below other prose it is not", () => {
  const guards = (text: string) => {
    const judgement = only(text);
    return judgement.kind === "judgement" && judgement.guards;
  };
  assert.equal(guards("Whenever it rains:\n  EMIT 'a:b'"), true);
  assert.equal(guards("For each of the children:\n  EMIT 'a:b'"), true);
  assert.equal(guards("The first step:\n  EMIT 'a:b'"), false);
});

test("a condition in prose stays a condition, with a warning", () => {
  const statement = only("IF the mood is bad:\n  EMIT 'a:b'\nELSE IF x > 1:\n  EMIT 'a:c'\nELSE:\n  EMIT 'a:d'");
  assert.deepEqual(statement.kind === "if" && statement.branches.map(({ condition }) => condition.kind), ["prose", "expression"]);
  assert.match(parseStrategy("IF the mood is bad:\n  EMIT 'a:b'").warnings[0]?.message ?? "", /prose/);
});

test("what follows an IF that cannot be read, or an ELSE with too much, is not lost", () => {
  assert.deepEqual(kinds("IF:\n  RUN 'a'\nELSE:\n  RUN 'b'\nRUN 'c'"), ["judgement", "run", "judgement", "run", "run"]);
  assert.deepEqual(kinds("IF a:\n  RUN 'a'\nELSE what:\n  RUN 'b'\nRUN 'c'"), ["if", "run", "judgement", "run", "run"]);
});

test("ON ERROR guards the statements before it in its block, up to an earlier ON ERROR", () => {
  const { statements } = parseStrategy("RUN 'a'\nON ERROR:\n  RUN 'b'\nRUN 'c'\nRUN 'd'\nON ERROR:\n  RUN 'e'\nRUN 'f'");
  assert.deepEqual(
    statements.map((statement) => (statement.kind === "attempt" ? statement.body.length : statement.kind)),
    [1, 2, "run"],
  );
});

test("comments, headings, tabs and CRLF change nothing", () => {
  const plain = "FIRST:\n    EMIT 'a:b'\n    IF a:\n        EMIT 'a:#c'\nDon't stop";
  const dressed =
    "## Start\r\nFIRST: # begin\r\n\tEMIT 'a:b' # one\r\n# all of it\r\n\tIF a:\r\n\t\tEMIT 'a:#c'\r\n\r\nDon't stop # it's late";
  assert.deepEqual(kinds(dressed), kinds(plain));
  const last = parseStrategy(dressed).statements.at(-1);
  assert.equal(last?.kind === "judgement" && last.text, "Don't stop");
});

test("a statement over several lines knows the line of each problem", () => {
  const { warnings } = parseStrategy('EMIT "a:b" WITH {\n  a: 1,\n  b: SCORE(x)\n}');
  assert.deepEqual(warnings[0]?.position, { line: 3, column: 6 });
});

const keyword = fc.constantFrom(...Object.keys(blockGrammar), ...Object.keys(lineGrammar), "ELSE IF", "FOR EACH", "GATHER", "If", "when");
const fragment = fc.oneof(
  keyword,
  fc.constantFrom(
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ":",
    ",",
    "=",
    "'",
    '"',
    "#",
    "{{",
    "}}",
    "%",
    "WITH",
    "AS",
    "IN",
    "x",
    "a.b",
    "1",
    "30%",
    "\t",
    "  ",
  ),
  fc.string({ maxLength: 6 }),
);
const hostileLine = fc
  .tuple(fc.nat(6), fc.array(fragment, { maxLength: 10 }))
  .map(([indent, parts]) => " ".repeat(indent) + parts.join(" "));

test("no text makes the parser throw, and every line of it has its place in the text", () => {
  fc.assert(
    fc.property(fc.array(hostileLine, { maxLength: 15 }), (lines) => {
      const text = lines.join("\n");
      const { statements, warnings } = parseStrategy(text);
      const count = text.split(/\r\n|\r|\n/).length;
      for (const { position } of [...walk(statements), ...warnings]) {
        assert.ok(position.line >= 1 && position.line <= count && position.column >= 1, JSON.stringify({ text, position }));
      }
    }),
    { numRuns: 2000 },
  );
});

test("hostile texts of the largest size are read in bounded time", () => {
  const size = 256 * 1024;
  for (const text of ["EMIT {\n", "FIRST:\n", "{", "'", "a ", "IF (\n", "\n ", "# \n", "IF a ? b : c ? "]) {
    const begun = performance.now();
    parseStrategy(text.repeat(Math.floor(size / text.length)));
    const milliseconds = performance.now() - begun;
    assert.ok(milliseconds < 10_000, `${JSON.stringify(text)} took ${milliseconds} ms`);
  }
  const deep = Array.from({ length: 700 }, (_, depth) => `${" ".repeat(depth)}IF a:`).join("\n");
  assert.equal(kinds(deep).length, 700);
});
