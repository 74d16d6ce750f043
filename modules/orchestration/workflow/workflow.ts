/**
 * The second way to write a pattern: steps, of which it is said what they depend on, in place of a text.
 *
 * Reading order: schema (what may be written), values (data and expressions), order (what waits for what), statements (the
 * text that it means).
 */
import { CodedError } from "../../../daemon/errors.ts";
import { isCompositionName } from "../../../daemon/names.ts";
import { issuesOf, type Problem, parseInput, tellIssues } from "../../../daemon/parse-input.ts";
import { cycleIn, dependenciesOf, inOrder } from "./order.ts";
import { type Workflow, workflowSchema } from "./schema.ts";
import { statementsOf } from "./statements.ts";
import { expressionsIn, type PlacedExpression, problemOf } from "./values.ts";

/** What `policy:select` takes: a name for each step, and those of `context`. */
const longestContext = 32;

/**
 * The text that a workflow means: the same for the same workflow.
 * @param field `workflow` of a pattern
 * @param name the pattern's, which names the slot that a learned one chooses in
 * @throws CodedError PATTERN_INVALID with details.path and details.issues [{path, message}]
 */
export function workflowText(field: unknown, name: unknown): string {
  const parsed = parseInput(workflowSchema, field);
  if (!parsed.success) throw invalid(parsed.problems);
  const workflow = parsed.data;
  const problems = [...problemsIn(workflow, name)];
  if (problems.length > 0) throw invalid(problems);
  const dependencies = dependenciesOf(workflow.steps);
  const cycle = cycleIn(workflow.steps, dependencies);
  if (cycle === undefined)
    return statementsOf({ name: String(name), workflow, dependencies, steps: inOrder(workflow.steps, dependencies) });
  const [first] = cycle;
  const path = ["steps", workflow.steps.findIndex(({ id }) => id === first), "depends_on"];
  throw invalid([{ path, message: `the steps wait for each other: ${cycle.join(" → ")}` }]);
}

function* problemsIn(workflow: Workflow, name: unknown): Generator<Problem> {
  const { strategy, steps, context, most } = workflow;
  const ids = steps.map(({ id }) => id);
  for (const [index, { id, depends_on }] of steps.entries()) {
    if (ids.indexOf(id) < index) yield { path: ["steps", index, "id"], message: `another step has the id ${id}` };
    for (const [position, other] of depends_on.entries()) {
      if (!ids.includes(other)) yield { path: ["steps", index, "depends_on", position], message: `there is no step ${other}` };
    }
  }
  for (const { path, source } of expressionsOf(workflow)) {
    const message = problemOf(source);
    if (message !== undefined) yield { path, message };
  }
  if (strategy === "sequential") {
    if (most !== undefined) yield { path: ["most"], message: "is for the strategy learned alone" };
    return;
  }
  if (typeof name !== "string" || !isCompositionName(name)) {
    yield { path: ["strategy"], message: "a learned workflow chooses in a slot of its name, and the pattern has none" };
  }
  for (const key of Object.keys(context)) {
    if (ids.some((id) => key === `done_${id}`))
      yield { path: ["context", key], message: "the policy is told this anyway: choose another name" };
  }
  if (ids.length + Object.keys(context).length > longestContext) {
    yield { path: ["steps"], message: `of a learned workflow, steps and names in context are ${longestContext} at most together` };
  }
}

function* expressionsOf({ steps, until, context, result }: Workflow): Generator<PlacedExpression> {
  for (const [index, { params, when }] of steps.entries()) {
    yield* expressionsIn(params, ["steps", index, "params"]);
    if (when !== undefined) yield { path: ["steps", index, "when"], source: when };
  }
  if (until !== undefined) yield { path: ["until"], source: until };
  yield* expressionsIn(context, ["context"]);
  yield* expressionsIn(result, ["result"]);
}

function invalid(problems: readonly Problem[]): CodedError {
  const issues = issuesOf(problems, "workflow");
  const [first] = issues;
  return new CodedError("PATTERN_INVALID", `The pattern cannot be played: ${tellIssues(issues)}.`, { path: first?.path, issues });
}
