/** A workflow as text of the pattern language, so that whatever reads or plays a pattern reads and plays a workflow. Pure. */
import type { Dependencies } from "./order.ts";
import type { Step, Workflow } from "./schema.ts";
import { dataText, expressionText, literal, valueText } from "./values.ts";

export interface Sorted {
  readonly name: string;
  readonly workflow: Workflow;
  /** Each after those that it depends on. */
  readonly steps: readonly Step[];
  readonly dependencies: Dependencies;
}

export function statementsOf(sorted: Sorted): string {
  const { strategy, result } = sorted.workflow;
  const lines = strategy === "learned" ? learned(sorted) : sequential(sorted);
  return [...lines, ...(result === undefined ? [] : [`RETURN ${valueText(result)}`]), ""].join("\n");
}

/** A step that was passed over counts as not done: what depends on it is passed over, too. */
function sequential({ workflow: { until }, steps, dependencies }: Sorted): string[] {
  const unsure = new Set<string>();
  for (const { id, when } of steps) {
    if (when !== undefined || dependencies.get(id)?.some((other) => unsure.has(other))) unsure.add(id);
  }
  const noted = steps.filter(({ id }) => unsure.has(id) && [...dependencies.values()].some((others) => others.includes(id)));
  const goal = until === undefined ? [] : [`UPDATE workflow.goal = ${reached(until)}`];
  const play = (step: Step): string[] => {
    const conditions = [
      ...(until === undefined ? [] : ["NOT workflow.goal"]),
      ...(dependencies.get(step.id) ?? []).filter((other) => unsure.has(other)).map(doneOf),
      ...conditionOf(step),
    ];
    const body = [call(step), ...(noted.includes(step) ? [`UPDATE ${doneOf(step.id)} = true`] : []), ...goal];
    return conditions.length === 0 ? body : [`IF ${conditions.join(" AND ")}:`, ...indented(body)];
  };
  const state = { ...(noted.length > 0 && { done: flags(noted) }), ...(until !== undefined && { goal: false }) };
  return [
    "## Workflow: one step after the other",
    ...(unsure.size > 0 || until !== undefined ? unset(steps) : []),
    ...(Object.keys(state).length > 0 ? [`STATE workflow = ${dataText(state)}`] : []),
    ...goal,
    ...steps.flatMap(play),
  ];
}

/** Each choice is worth what was reached in the end, less what it cost from there on. */
function learned({ name, workflow: { until, context, cost, most }, steps, dependencies }: Sorted): string[] {
  const candidate = (step: Step): string => {
    const conditions = [`NOT ${doneOf(step.id)}`, ...(dependencies.get(step.id) ?? []).map(doneOf), ...conditionOf(step)];
    return `${conditions.join(" AND ")} ? ${dataText({ id: step.id, features: { tool: step.tool, ...step.features } })},`;
  };
  const known = [...steps.map(({ id }) => `done_${id}: ${doneOf(id)}`), ...(Object.keys(context).length > 0 ? [inside(context)] : [])];
  const goal = until === undefined ? `(COUNT(workflow.choices) = ${steps.length})` : reached(until);
  const price = `${cost} * (COUNT(workflow.choices) - choice.turn)`;
  return [
    "## Workflow: at each turn the policy chooses one of the steps that are ready",
    ...unset(steps),
    `STATE workflow = ${dataText({ done: flags(steps), choices: [], ready: [], goal: false, over: false })}`,
    "WHILE NOT workflow.over:",
    ...indented([
      `UPDATE workflow.goal = ${goal}`,
      `UPDATE workflow.ready = workflow.goal OR COUNT(workflow.choices) >= ${most ?? steps.length} ? [] : [`,
      ...indented(steps.map(candidate)),
      "]",
      "IF COUNT(workflow.ready) = 0:",
      "  UPDATE workflow.over = true",
      "ELSE:",
      ...indented([
        `CHOOSE \`workflow/${name}\` FROM workflow.ready FOR {`,
        ...indented(known.map((one) => `${one},`)),
        "} AS choice",
        "APPEND workflow.choices {step: choice.choice, decision_id: choice.decision_id, turn: COUNT(workflow.choices)}",
        "BRANCH choice.choice:",
        ...indented(steps.flatMap((step) => [`CASE ${literal(step.id)}:`, ...indented([call(step), `UPDATE ${doneOf(step.id)} = true`])])),
      ]),
    ]),
    "## What a failed step leads to is worth nothing, and the run fails as the step did",
    "ON ERROR:",
    ...indented(["FOREACH choice IN workflow.choices:", `  OUTCOME choice reward: -${price}`, "ABORT error"]),
    "FOREACH choice IN workflow.choices:",
    `  OUTCOME choice reward: (workflow.goal ? 1 : 0) - ${price}`,
  ];
}

const call = ({ id, tool, params }: Step): string =>
  `RUN ${literal(tool)}${Object.keys(params).length > 0 ? ` WITH ${valueText(params)}` : ""} AS ${id}`;

const doneOf = (id: string): string => `workflow.done.${id}`;
const conditionOf = ({ when }: Step): string[] => (when === undefined ? [] : [`(${expressionText(when)})`]);
/** What is not there is not true either; NOT of it would be nothing. */
const reached = (until: string): string => `(${expressionText(until)}) ? true : false`;
const flags = (steps: readonly Step[]): Record<string, false> => Object.fromEntries(steps.map(({ id }) => [id, false]));
/** Where the pattern is played once more within a run, its variables hold what the last time left. */
const unset = (steps: readonly Step[]): string[] => steps.map(({ id }) => `STATE ${id} = null`);
const inside = (object: object): string => valueText(object).slice(1, -1);
const indented = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);
