/** Reading a long pattern, beside reading its YAML alone. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { projectFolder } from "../../daemon/project.ts";
import { readYaml } from "../../daemon/yaml.ts";
import { explain as explainPattern } from "../../modules/orchestration/explain.ts";
import { patternOf } from "../../modules/orchestration/pattern.ts";
import type { Figure } from "./main.ts";
import { latency } from "./measure.ts";

const lines = 300;
const repetitions = 300;
const most = 5;

export async function explain(): Promise<Figure[]> {
  const strategy = await shippedLines();
  // Strategies that were read are remembered by their text, so each is another.
  let number = 0;
  const next = () =>
    `name: long\ntype: orchestration\nversion: 1.0.0\norchestration_logic:\n  strategy: |2\n${strategy}    # ${++number}\n`;
  const { p50, p99 } = await latency(repetitions, async () => explainPattern(patternOf(next())));
  const yaml = await latency(repetitions, async () => readYaml(next()));
  const { statements } = explainPattern(patternOf(next()));
  return [
    {
      name: `parse and explain a pattern of ${lines} lines, p50`,
      measured: p50,
      unit: "ms",
      target: `≤ ${most}`,
      met: p50 <= most,
      note: `${statements.length} statements; p99 ${p99.toFixed(1)} ms; its YAML alone ${yaml.p50.toFixed(2)} ms`,
    },
  ];
}

/** The first so many lines of all shipped strategies, one after the other, indented for YAML. */
async function shippedLines(): Promise<string> {
  const folder = join(projectFolder, "compositions/orchestrations");
  const texts = await Promise.all((await readdir(folder)).map(async (file) => patternOf(await readFile(join(folder, file), "utf8")).text));
  const all = texts.join("\n").split("\n").slice(0, lines);
  if (all.length < lines) throw new Error(`the shipped patterns have ${all.length} lines, not ${lines}`);
  return all.map((line) => `    ${line}\n`).join("");
}
