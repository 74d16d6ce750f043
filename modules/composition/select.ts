/** Choosing a pattern for a task: hard requirements first, then the serving policy. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { Call } from "../../daemon/module.ts";
import type { Entry } from "./catalogue/catalogue.ts";
import { compositionName } from "./content.ts";
import { originOf } from "./family.ts";
import { filterFields, meets } from "./filter.ts";
import type { State } from "./state.ts";

export const selectedEvent = "composition:selected";

/** What `policy:select` takes. */
const mostCandidates = 256;
/** Characters of a value in its context. */
const longestText = 256;
const mostRunnersUp = 5;
const millisecondsPerDay = 86_400_000;

export const selectRequest = z.strictObject({
  task: z
    .union([z.string().min(1).max(10_000), z.record(z.string().max(64), z.union([z.string().max(256), z.number(), z.boolean(), z.null()]))])
    .describe(
      "what is to be done, in words: the policy learns by its first 256 characters and by how the candidates' texts fit it; or its features",
    ),
  requirements: z.strictObject(filterFields).default({}),
  candidates: z.array(compositionName).min(1).max(mostCandidates).optional().describe("default: all patterns"),
});

export const selection = z.object({
  choice: z.string(),
  version: z.string(),
  commit: z.string().describe("HEAD, that it was chosen at"),
  probability: z.number(),
  runners_up: z.array(z.object({ name: z.string(), score: z.number() })).describe("best first"),
  reason: z.string(),
  decision_id: z.string().describe("for policy:outcome"),
});

const policyChoice = z.object({
  decision_id: z.string(),
  choice: z.string(),
  probability: z.number(),
  scores: z.record(z.string(), z.number()),
  reason: z.string(),
});

/** @throws CodedError COMPOSITION_NOT_FOUND for a candidate that is none, or if none meets the requirements */
export async function select(
  { task, requirements, candidates }: z.output<typeof selectRequest>,
  { state, context, caller, meta, signal }: Call<State>,
): Promise<z.output<typeof selection>> {
  const { catalogue } = state;
  await catalogue.refresh();
  const valid = catalogue.entries().filter(({ fields, type }) => fields && type === (requirements.type ?? "orchestration"));
  const asked = candidates && valid.filter(({ name }) => candidates.includes(name));
  const missing = candidates?.find((name) => !asked?.some((entry) => entry.name === name));
  if (missing !== undefined) throw new CodedError("COMPOSITION_NOT_FOUND", `There is no valid pattern ${missing}`, { name: missing });

  const ranks = typeof task === "string" ? catalogue.search(task) : new Map<string, number>();
  const performanceOf = ({ name, fields }: Entry) => catalogue.performance.of(name, originOf(fields)?.parent.name);
  const fitting = (asked ?? valid)
    .filter((entry) => meets({ ...entry.fields, performance: performanceOf(entry) }, requirements))
    .sort((left, right) => (ranks.get(right.path) ?? 0) - (ranks.get(left.path) ?? 0) || (left.name < right.name ? -1 : 1))
    .slice(0, mostCandidates);
  if (fitting.length === 0) throw new CodedError("COMPOSITION_NOT_FOUND", "No pattern meets the requirements", { requirements });

  const features = (entry: Entry) => ({
    tags: entry.fields?.tags ?? [],
    version: entry.fields?.version,
    forked_from: originOf(entry.fields)?.parent.name,
    text_rank: ranks.get(entry.path) ?? 0,
    age_days: (Date.now() - Date.parse(catalogue.history.of(entry.path, 1)[0]?.author.time ?? "")) / millisecondsPerDay || 0,
    ...performanceOf(entry),
  });
  const request = {
    slot: "pattern",
    context: typeof task === "string" ? { task: task.slice(0, longestText) } : task,
    candidates: fitting.map((entry) => ({ id: entry.name, features: features(entry) })),
  };
  // The selection is the caller's, who alone may give its outcome; the right to select a pattern is the right to have it drawn.
  const { kind, id, isClaimed } = caller;
  const owner = { kind, id, ...(isClaimed && { isClaimed }) };
  const made = policyChoice.parse(await context.call("policy:select", request, { caller: owner, cause: meta, signal }));
  const chosen = fitting.find(({ name }) => name === made.choice);
  const others = Object.entries(made.scores).filter(([name]) => name !== made.choice);
  const answer = {
    choice: made.choice,
    version: chosen?.fields?.version ?? "",
    commit: (await context.repository.head()) ?? "",
    probability: made.probability,
    runners_up: others
      .map(([name, score]) => ({ name, score }))
      .sort((left, right) => right.score - left.score)
      .slice(0, mostRunnersUp),
    reason: `${made.reason}; ${fitting.length} of ${asked?.length ?? valid.length} meet the requirements`,
    decision_id: made.decision_id,
  };
  await context.emit(selectedEvent, { task, ...answer }, meta, { id: `${made.decision_id}/pattern_selected` });
  return answer;
}
