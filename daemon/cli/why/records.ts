/** What the daemon tells of runs, decisions and selections, read page by page. */
import { type Client, CommandError } from "../client.ts";

/** A decision as it is tracked. Names as on the wire. */
export interface Decision {
  readonly id: string;
  readonly time: string;
  readonly decision: unknown;
  readonly pattern: string;
  readonly version?: string;
  readonly context?: unknown;
  readonly options?: readonly unknown[];
  readonly outcome?: unknown;
  readonly confidence?: number;
  readonly reason?: string;
  readonly agent?: string;
  readonly run?: string;
}

/** A choice of the policy. */
export interface Selection {
  readonly decision_id: string;
  readonly time: string;
  readonly slot: string;
  readonly choice: string;
  readonly probability: number;
  readonly scores: Readonly<Record<string, number>>;
  readonly reason: string;
  readonly policy: string;
  readonly version: string;
  readonly context: unknown;
  readonly candidates: readonly { readonly id: string }[];
  readonly run?: string;
  /** How it turned out; absent while nobody said. */
  readonly outcome?: { readonly reward: number; readonly success?: boolean };
}

export interface RunStatus {
  readonly run_id: string;
  readonly agent_id?: string;
  readonly pattern: string;
  readonly version: string;
  readonly commit: string;
  readonly state: string;
  readonly started_at: string;
  readonly ended_at?: string;
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
  readonly judgements?: readonly { readonly line: number; readonly text: string }[];
  readonly steps: number;
}

interface EventRecord {
  readonly id: string;
  readonly type: string;
  readonly time: string;
  readonly seq: number;
  readonly run?: string;
  readonly data: unknown;
}

interface Node {
  readonly id: string;
  readonly time: string;
  readonly children: readonly Node[];
}

const pageSize = 1_000;
export const trackedEvent = "composition:decision_tracked";
export const selectedEvent = "policy:selected";
const recordedEvent = "composition:decision_recorded";
const outcomeEvent = "policy:outcome_recorded";

export interface Query {
  readonly types: readonly string[];
  readonly run?: string;
  readonly since?: string;
  readonly until?: string;
}

/** All events that fit, oldest first. */
export async function* events(client: Client, query: Query): AsyncGenerator<EventRecord> {
  for (let cursor: string | undefined; ; ) {
    const page = await client.call<{ events: EventRecord[]; cursor?: string }>("event:query", { ...query, limit: pageSize, cursor });
    yield* page.events;
    cursor = page.cursor;
    if (cursor === undefined) return;
  }
}

/** The event with this id, if it is of one of the types. */
export async function findEvent(client: Client, id: string, types: readonly string[]): Promise<EventRecord | undefined> {
  const query = await placeOf(client, id);
  if (query === undefined) return undefined;
  for await (const event of events(client, { types, ...query })) if (event.id === id) return event;
  return undefined;
}

/** Which events to look through: those of a run, whose steps have ids `run/step`, or those of one millisecond. */
async function placeOf(client: Client, id: string): Promise<Pick<Query, "run" | "since" | "until"> | undefined> {
  const [run, step] = id.split("/");
  if (step !== undefined) return { run };
  const trace = await unlessUnknown(client.call<{ root: Node }>("event:trace", { id }), "EVENT_NOT_FOUND");
  const time = trace && timeIn(trace.root, id);
  return time ? { since: time, until: new Date(Date.parse(time) + 1).toISOString() } : undefined;
}

function timeIn(node: Node, id: string): string | undefined {
  if (node.id === id) return node.time;
  for (const child of node.children) {
    const time = timeIn(child, id);
    if (time !== undefined) return time;
  }
  return undefined;
}

export const findRun = (client: Client, id: string): Promise<RunStatus | undefined> =>
  /^[A-Za-z0-9_-]{1,64}$/.test(id)
    ? unlessUnknown(client.call<RunStatus>("orchestration:status", { run_id: id }), "RUN_NOT_FOUND")
    : Promise.resolve(undefined);

/** What the event of a tracked decision says; an outcome that came later stands in git only. */
export const decisionIn = ({ data }: EventRecord): Decision => data as Decision;

/** The selections of a run, or the one of an event, with their outcomes. */
export async function selectionsOf(client: Client, query: Omit<Query, "types">): Promise<Selection[]> {
  const selections = new Map<string, Selection>();
  for await (const { type, time, run, data } of events(client, { ...query, types: [selectedEvent, outcomeEvent] })) {
    if (type === selectedEvent) {
      const made = data as Selection;
      selections.set(made.decision_id, { ...made, time, ...(run && { run }) });
      continue;
    }
    const { decision_id, reward, success } = data as { decision_id: string; reward: number; success?: boolean };
    const made = selections.get(decision_id);
    if (made) selections.set(decision_id, { ...made, outcome: { reward, ...(success !== undefined && { success }) } });
  }
  return [...selections.values()];
}

/** Decision id → the commit that recorded it, for those of these ids that are in git. */
export async function commitsOf(client: Client, ids: readonly string[], since: string): Promise<Map<string, string>> {
  const wanted = new Set(ids);
  const commits = new Map<string, string>();
  if (wanted.size === 0) return commits;
  for await (const { data } of events(client, { types: [recordedEvent], since })) {
    const { commit, decisions } = data as { commit: string; decisions: { id: string }[] };
    for (const { id } of decisions) if (wanted.has(id) && !commits.has(id)) commits.set(id, commit);
    if (commits.size === wanted.size) break;
  }
  return commits;
}

/** Decisions of a pattern as they stand in git now, newest first. */
export async function* recordedDecisions(
  client: Client,
  pattern: string,
  filter: { run_id?: string; since?: string },
): AsyncGenerator<Decision> {
  for (let cursor: string | undefined; ; ) {
    const request = { pattern, ...filter, limit: pageSize, cursor };
    const reading = client.call<{ decisions: Decision[]; cursor?: string }>("composition:decisions", request);
    const page = await unlessUnknown(reading, "COMPOSITION_NOT_FOUND"); // the pattern was deleted; its decisions are in its history
    for (const decision of page?.decisions ?? []) yield { ...decision, pattern };
    cursor = page?.cursor;
    if (cursor === undefined) return;
  }
}

/** The commit at which a version of a pattern can be read. */
export async function commitOfVersion(client: Client, pattern: string, version: string): Promise<string | undefined> {
  return (await unlessUnknown(client.call<{ commit: string }>("composition:get", { name: pattern, version }), "COMPOSITION_NOT_FOUND"))
    ?.commit;
}

async function unlessUnknown<Result>(asked: Promise<Result>, code: string): Promise<Result | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof CommandError && error.reply.code === code) return undefined;
    throw error;
  }
}
