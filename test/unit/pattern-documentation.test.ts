/** What the documentation shows of the language is of the language. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { projectFolder } from "../../daemon/project.ts";
import { blockGrammar, lineGrammar } from "../../modules/orchestration/language/grammar.ts";
import { parseStrategy } from "../../modules/orchestration/language/parser.ts";
import { patternOf } from "../../modules/orchestration/pattern.ts";

const documentation = await readFile(join(projectFolder, "docs/patterns.md"), "utf8");

const fenced = (language: string) =>
  [...documentation.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(([, text = ""]) => text);

test("every example in docs/patterns.md is read without a warning", () => {
  const strategies = fenced("pattern");
  assert.ok(strategies.length >= 8, `${strategies.length} examples`);
  for (const text of strategies) {
    const { statements, warnings } = parseStrategy(text);
    assert.deepEqual(warnings, [], text);
    assert.ok(statements.length > 0 && statements.every(({ kind }) => kind !== "judgement"), text);
  }
});

test("every whole pattern in docs/patterns.md can be played, by each of its texts", () => {
  const patterns = fenced("yaml");
  assert.ok(patterns.length >= 2, `${patterns.length} patterns`);
  for (const text of patterns) {
    for (const block of patternOf(text).blocks) assert.deepEqual(patternOf(text, block).strategy.warnings, [], block);
  }
});

test("docs/patterns.md shows every keyword of the language", () => {
  const keywords = [...Object.keys(blockGrammar), ...Object.keys(lineGrammar)];
  const missing = keywords.filter((keyword) => !new RegExp(`\`${keyword}[ :]`).test(documentation));
  assert.ok(keywords.length > 40);
  assert.deepEqual(missing, []);
});
