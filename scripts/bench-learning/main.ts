/**
 * `npm run bench:learning [problem…] [--seeds n]`: measures how well is learned, against chance, the best fixed choice and full
 * information. Everything is seeded. Prints a table of means with 95 % intervals, then the same as one line of JSON.
 * Exits with 1 when a goal is missed, or a problem could not be measured.
 */
import { parseArgs } from "node:util";
import { type Goal, type Measures, type Problem, Unavailable } from "./problem.ts";
import { ktoFromLog } from "./problems/kto.ts";
import { offPolicy } from "./problems/off-policy.ts";
import { poisoned } from "./problems/poisoned.ts";
import { promotions } from "./problems/promotions.ts";
import { routing, routingWithCost } from "./problems/routing.ts";
import { sequential } from "./problems/sequential.ts";
import { synthetic } from "./problems/synthetic.ts";
import { trials } from "./problems/trials.ts";

interface Result {
  readonly problem: string;
  readonly measure: string;
  readonly mean: number;
  /** Half the width of the 95 % interval of the mean. */
  readonly margin: number;
  readonly seeds: number;
  /** The seed that is farthest on the wrong side, where there is a goal. */
  readonly worst?: { readonly seed: number; readonly value: number };
  readonly goal?: string;
  readonly met?: boolean;
}

const problems: readonly Problem[] = [
  routing,
  routingWithCost,
  ...synthetic,
  offPolicy,
  promotions,
  trials,
  poisoned,
  ktoFromLog,
  sequential,
];

const { values, positionals } = parseArgs({ allowPositionals: true, options: { seeds: { type: "string" } } });
const seeds = values.seeds === undefined ? undefined : Number(values.seeds);
if (seeds !== undefined && !(Number.isInteger(seeds) && seeds > 1)) throw new Error(`--seeds takes a number above 1, not ${values.seeds}`);
const unknown = positionals.find((wanted) => !problems.some(({ name }) => name === wanted));
if (unknown !== undefined) throw new Error(`no problem ${unknown}; there are ${problems.map(({ name }) => name).join(", ")}`);

const results: Result[] = [];
const unavailable: string[] = [];
for (const problem of problems) {
  if (positionals.length > 0 && !positionals.includes(problem.name)) continue;
  try {
    const measured = await measure(problem, seeds ?? problem.seeds ?? 10);
    results.push(...measured);
    process.stdout.write(`${problem.name}: ${problem.description}\n${measured.map(line).join("\n")}\n`);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    unavailable.push(problem.name);
    process.stdout.write(`${problem.name}: not measured: ${error.message}\n`);
  }
}
const missed = results.filter(({ met }) => met === false).map(({ problem, measure }) => `${problem}: ${measure.replaceAll("_", " ")}`);
process.stdout.write(`${JSON.stringify({ node: process.version, results, missed, unavailable })}\n`);
if (missed.length > 0) process.stderr.write(`missed: ${missed.join("; ")}\n`);
if (unavailable.length > 0) process.stderr.write(`not measured: ${unavailable.join(", ")}\n`);
if (missed.length > 0 || unavailable.length > 0) process.exitCode = 1;

async function measure({ name, goals, run }: Problem, count: number): Promise<Result[]> {
  const runs: Measures[] = [];
  for (let seed = 1; seed <= count; seed++) {
    if (process.stderr.isTTY) process.stderr.write(`\r${name}: seed ${seed} of ${count} `);
    runs.push(await run(seed));
  }
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
  const unmeasured = goals.find((goal) => runs[0]?.[goal.measure] === undefined);
  if (unmeasured !== undefined) throw new Error(`${name} has a goal for ${unmeasured.measure}, which it does not measure`);
  return Object.keys(runs[0] ?? {}).map((measure) => {
    const numbers = runs.map((measures) => measures[measure] as number);
    const mean = numbers.reduce((sum, value) => sum + value, 0) / count;
    const deviation = Math.sqrt(numbers.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1));
    const goal = goals.find((each) => each.measure === measure);
    const margin = (1.96 * deviation) / Math.sqrt(count);
    const judged = goal && { goal: textOf(goal), met: isMet(goal, mean), worst: worstOf(goal, numbers) };
    return { problem: name, measure, mean, margin, seeds: count, ...judged };
  });
}

function isMet({ atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY }: Goal, mean: number): boolean {
  return mean >= atLeast && mean <= atMost;
}

function worstOf({ atLeast }: Goal, numbers: readonly number[]): { seed: number; value: number } {
  const value = atLeast === undefined ? Math.max(...numbers) : Math.min(...numbers);
  return { seed: 1 + numbers.indexOf(value), value };
}

function textOf({ atLeast, atMost }: Goal): string {
  return atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`;
}

function line({ measure, mean, margin, seeds, goal = "", met, worst }: Result): string {
  const mark = met === undefined ? " " : met ? "✓" : "✗";
  const farthest = worst ? `, worst ${worst.value.toFixed(3)} (seed ${worst.seed})` : "";
  return `${mark} ${measure.replaceAll("_", " ").padEnd(44)} ${mean.toFixed(3).padStart(8)} ± ${margin.toFixed(3)}  ${goal.padEnd(8)} ${seeds} seeds${farthest}`;
}
