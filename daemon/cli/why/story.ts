/** Puts together what is known of a decision, a selection or a run. */
import { type Client, CommandError } from "../client.ts";
import { findRecorded, type GitLines, gitLines } from "./local-git.ts";
import {
  commitOfVersion,
  commitsOf,
  type Decision,
  decisionIn,
  events,
  findEvent,
  findRun,
  type RunStatus,
  recordedDecisions,
  type Selection,
  selectedEvent,
  selectionsOf,
  trackedEvent,
} from "./records.ts";

/** A decision with all that supports it. */
export interface DecisionStory extends Decision {
  /** Commit of the pattern that was played; without a run, one at which the version can be read. */
  readonly pattern_commit?: string;
  /** The commit that recorded it; absent while it is on its way into git. */
  readonly commit?: string;
  /** The policy's choice that it reports, with the odds. */
  readonly selection?: Selection;
  readonly git?: GitLines;
}

/** `git_log` is the command that finds the same in git; a choice that no run made is in the event log alone. */
export type Story = { readonly git_log?: string } & (
  | { readonly kind: "decision"; readonly decision: DecisionStory }
  | { readonly kind: "selection"; readonly selection: Selection; readonly decision?: DecisionStory }
  | {
      readonly kind: "run";
      readonly run: RunStatus;
      readonly decisions: readonly DecisionStory[];
      readonly selections: readonly Selection[];
    }
);

/** @throws CommandError DECISION_UNKNOWN */
export async function findStory(client: Client, id: string): Promise<Story> {
  const { compositions: folder } = await client.call<{ compositions: string }>("system:info", {});
  const search = (trailer: string) => `git -C ${folder} log --grep='${trailer}'`;

  const run = await findRun(client, id);
  if (run) return { kind: "run", run, ...(await storyOfRun(client, folder, run)), git_log: search(`Run: ${id}`) };

  const event = await findEvent(client, id, [trackedEvent, selectedEvent]);
  if (event?.type === selectedEvent) {
    const story = await storyOfSelection(client, folder, event);
    if (event.run === undefined) return { kind: "selection", ...story };
    return { kind: "selection", ...story, git_log: search(story.decision ? `Decision-Id: ${story.decision.id}` : `Run: ${event.run}`) };
  }
  const decision = event ? decisionIn(event) : await decisionInGit(client, folder, id);
  if (!decision) {
    const message = `There is no decision and no run ${id}, neither in the event log nor in git.`;
    throw new CommandError({ code: "DECISION_UNKNOWN", message, details: { id }, retryable: false });
  }
  const [story] = await storiesOf(client, folder, [decision]);
  return { kind: "decision", decision: story as DecisionStory, git_log: search(`Decision-Id: ${id}`) };
}

async function storyOfRun(client: Client, folder: string, run: RunStatus) {
  const tracked: Decision[] = [];
  for await (const event of events(client, { types: [trackedEvent], run: run.run_id })) tracked.push(decisionIn(event));
  const decisions = await storiesOf(client, folder, tracked);
  const told = new Set(decisions.map(({ selection }) => selection?.decision_id));
  const selections = (await selectionsOf(client, { run: run.run_id })).filter(({ decision_id }) => !told.has(decision_id));
  return { decisions, selections };
}

async function storyOfSelection(client: Client, folder: string, event: { id: string; time: string; run?: string }) {
  const { id, time, run } = event;
  const known = await selectionsOf(client, run === undefined ? { since: time } : { run });
  const selection = known.find(({ decision_id }) => decision_id === id) as Selection;
  if (run === undefined) return { selection };
  const status = await findRun(client, run);
  const decision = status && (await storyOfRun(client, folder, status)).decisions.find((told) => told.selection?.decision_id === id);
  return { selection, ...(decision && { decision }) };
}

/** Decisions of one run, or one decision. Git is asked about a single one only: about hundreds it would take minutes. */
async function storiesOf(client: Client, folder: string, decisions: readonly Decision[]): Promise<DecisionStory[]> {
  const [first] = decisions;
  if (!first) return [];
  const run = first.run === undefined ? undefined : await findRun(client, first.run);
  const selections = run ? await selectionsOf(client, { run: run.run_id }) : [];
  const current = await currentOf(client, decisions);
  const ids = decisions.map(({ id }) => id);
  const commits = await commitsOf(client, ids, first.time);
  const stories = decisions.map((tracked): DecisionStory => {
    const decision = { ...tracked, ...current.get(tracked.id) };
    const commit = commits.get(decision.id);
    const selection = selectionFor(decision, selections);
    return { ...decision, ...(run && { pattern_commit: run.commit }), ...(commit && { commit }), ...(selection && { selection }) };
  });
  const [only, ...others] = stories;
  return only && others.length === 0 ? [await withGit(client, folder, only)] : stories;
}

async function withGit(client: Client, folder: string, story: DecisionStory): Promise<DecisionStory> {
  const { id, pattern, version } = story;
  const read = story.pattern_commit ?? (version && (await commitOfVersion(client, pattern, version)));
  const commit = story.commit ?? (await findRecorded(folder, id))?.commit;
  const git = commit && (await gitLines(folder, { id, pattern, commit }));
  return { ...story, ...(read && { pattern_commit: read }), ...(commit && { commit }), ...(git && { git }) };
}

/** As they stand in git now: an outcome may have come after the decision. */
async function currentOf(client: Client, decisions: readonly Decision[]): Promise<Map<string, Decision>> {
  const current = new Map<string, Decision>();
  for (const [pattern, group] of Map.groupBy(decisions, (decision) => decision.pattern)) {
    const [{ time: since, run }] = group as [Decision];
    const wanted = new Set(group.map(({ id }) => id));
    for await (const decision of recordedDecisions(client, pattern, { since, ...(run && { run_id: run }) })) {
      if (wanted.delete(decision.id)) current.set(decision.id, decision);
      if (wanted.size === 0) break;
    }
  }
  return current;
}

/** A decision that the event log has no longer, or that another log had. */
async function decisionInGit(client: Client, folder: string, id: string): Promise<Decision | undefined> {
  const recorded = await findRecorded(folder, id);
  if (!recorded) return undefined;
  for await (const decision of recordedDecisions(client, recorded.pattern, {})) {
    if (decision.id === id) return { ...decision, version: recorded.version };
  }
  return undefined;
}

/** The last selection before the decision, if it was among just the options that the decision names. */
function selectionFor({ options, time, run }: Decision, selections: readonly Selection[]): Selection | undefined {
  const last = selections.findLast((selection) => selection.run === run && selection.time <= time);
  const same = last && options?.length === last.candidates.length && last.candidates.every((candidate) => options.includes(candidate.id));
  return same ? last : undefined;
}
