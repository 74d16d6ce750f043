/** Makes runs: new ones, and those that take over the first steps of another. */
import { intersect } from "../../daemon/capabilities.ts";
import { CodedError } from "../../daemon/errors.ts";
import type { Caller, MessageMeta, ModuleContext } from "../../daemon/module.ts";
import { type PinnedPattern, pinnedPattern } from "./definition.ts";
import { warningsOf } from "./explain.ts";
import type { StepsEntry } from "./interpreter/journal.ts";
import { defaultLimits, type Limits, limitExceeded, thinkingLimits } from "./interpreter/limits.ts";
import type { Journals } from "./journals.ts";
import { assertPlayable, type Pattern } from "./pattern.ts";
import type { OpenRun, Playing } from "./playing.ts";
import { type RunEntry, recordOf, type StartedEntry } from "./record.ts";
import { hasStep, stepsBefore } from "./rerun.ts";
import type { RerunRequest, RunRecord, StartRequest } from "./schema.ts";
import { tellStart } from "./telling.ts";

export type StartedRun = RunRecord & { capabilities?: string[] };

export interface Starting {
  start(request: StartRequest, caller: Caller, meta: MessageMeta): Promise<StartedRun>;
  rerun(request: RerunRequest, caller: Caller, meta: MessageMeta): Promise<StartedRun>;
}

export interface StartingOptions {
  readonly context: ModuleContext;
  readonly journals: Journals;
  readonly playing: Playing;
}

/** Definitions that are not warned of again. */
const mostWarned = 1_000;

export function createStarting({ context, journals, playing }: StartingOptions): Starting {
  const warned = new Set<string>();

  async function start(request: StartRequest, caller: Caller, meta: MessageMeta): Promise<StartedRun> {
    const { agent_id, name, model, logic, interpreter, inputs = {} } = request;
    const pattern = await pinnedPattern(context, request.pattern, { logic });
    assertPlayable(pattern);
    warnOnce(pattern);
    const profile = request.profile === undefined ? {} : await profileOf(context, request.profile);
    const instructions = interpreter === "scripted" ? undefined : (request.instructions ?? profile.prompt);
    const parent = parentOf(caller, meta);
    const limits = limitsOf(request, caller, parent);
    const depth = (parent?.handle.started.depth ?? 0) + 1;
    if (depth > limits.depth) throw limitExceeded("depth", limits.depth);
    return begin(
      pattern,
      {
        type: "started",
        at: new Date().toISOString(),
        run_id: context.newId(),
        owner: playing.leases.owner,
        ...(agent_id && { agent_id }),
        ...(parent && { parent_run: parent.handle.started.run_id }),
        ...(name && { name }),
        depth,
        pattern: pattern.name,
        version: pattern.version as string,
        commit: pattern.commit as string,
        definition: pattern.definition,
        ...(logic && { logic }),
        interpreter,
        ...(model && { model }),
        ...(instructions && { instructions }),
        inputs,
        limits,
        capabilities: [profile.capabilities, pattern.capabilities, caller.capabilities, request.capabilities].reduce(intersect, undefined),
        cause: withoutId(meta),
      },
      [],
    );
  }

  async function rerun({ run_id, from_step, inputs }: RerunRequest, caller: Caller, meta: MessageMeta): Promise<StartedRun> {
    const entries = await Promise.all((await journals.readStored(run_id)).map(journals.whole));
    if (!hasStep(entries, from_step)) {
      throw new CodedError("REQUEST_INVALID", `from_step: the run ${run_id} never came to a step ${from_step}`, { run_id, from_step });
    }
    const { agent_id: _, parent_run: __, ...same } = entries[0] as StartedEntry;
    const at = new Date().toISOString();
    return begin(
      await pinnedPattern(context, same.pattern, { ...same, isForNewRun: true }),
      {
        ...same,
        at,
        run_id: context.newId(),
        owner: playing.leases.owner,
        depth: 1,
        inputs: inputs ?? same.inputs,
        limits: caller.kind === "agent" ? least(same.limits, defaultLimits) : same.limits,
        capabilities: [same.capabilities, caller.capabilities].reduce(intersect, undefined),
        lineage: { run_id, from_step },
        cause: withoutId(meta),
      },
      stepsBefore(entries, from_step).map((steps) => ({ type: "steps", at, elapsed: 0, ...steps })),
    );
  }

  /** What was probably meant as a statement and is passed as prose. */
  function warnOnce(pattern: PinnedPattern): void {
    const { $object: hash } = pattern.definition;
    const warnings = warningsOf(pattern);
    if (warnings.length === 0 || warned.has(hash)) return;
    if (warned.size >= mostWarned) warned.clear();
    warned.add(hash);
    context.log.warn({ pattern: pattern.name, warnings }, "the pattern has lines that begin like statements and cannot be read as such");
  }

  function parentOf(caller: Caller, meta: MessageMeta): OpenRun | undefined {
    const agent = caller.kind === "agent" ? caller.id : undefined;
    return playing.ofAgent(agent) ?? playing.find(agent) ?? playing.find(meta.run);
  }

  /** Stores the beginning of a run, then plays it. Durable when it resolves. */
  async function begin(pattern: Pattern, started: StartedEntry, taken: readonly StepsEntry[]): Promise<StartedRun> {
    const forget = countChild(playing.find(started.parent_run));
    try {
      await playing.leases.whenHeld(started.owner, context.signal);
      // What is taken over must be complete when the run is heard of; a new run's journal can begin beside its first steps.
      const entries = [started, ...taken];
      if (taken.length > 0) for (const [index, entry] of entries.entries()) await append(started.run_id, index, entry);
      await playing.begin(started.run_id, async () =>
        playing.play(pattern, entries, await tellStart(context, started), taken.length === 0),
      );
    } catch (error) {
      forget();
      // Nobody is told that this run began, so it must not be played after a restart.
      const cancel = () => journals.end(started, { state: "cancelled" });
      void playing.begin(started.run_id, () => playing.untilTold(started.run_id, cancel));
      throw error;
    }
    return { ...recordOf(started), ...(started.capabilities && { capabilities: [...started.capabilities] }) };
  }

  async function append(run_id: string, index: number, entry: RunEntry): Promise<void> {
    if ((await journals.append(run_id, index, entry)) === "appended") return;
    throw new CodedError("RUN_DIVERGED", `There is a journal of ${run_id} already.`, { run_id });
  }

  return { start, rerun };
}

/** Only an operator sets more than the defaults: an agent has them, or what the run that it plays in has left. */
function limitsOf({ interpreter, budget }: StartRequest, caller: Caller, parent: OpenRun | undefined): Limits {
  const defaults = interpreter === "llm" ? thinkingLimits : defaultLimits;
  const asked = { ...defaults, ...budget };
  if (parent !== undefined) return least(asked, leftOf(parent));
  return caller.kind === "agent" ? least(asked, defaults) : asked;
}

/** @throws CodedError RUN_LIMIT_EXCEEDED when nothing is left */
function leftOf({ handle }: OpenRun): Limits {
  const { limits } = handle.started;
  const { steps, milliseconds } = handle.usage();
  const { tokens, cost } = handle.account.used;
  const left: Limits = {
    ...limits,
    // The step that starts a run is under way, and not among those that were finished.
    steps: limits.steps - steps - 1,
    seconds: limits.seconds - milliseconds / 1000,
    tokens: limits.tokens - tokens,
    cost: limits.cost - cost,
    // A child of another kind may repeat itself as its own kind may.
    repeats: Number.POSITIVE_INFINITY,
  };
  for (const limit of ["steps", "seconds", "tokens", "cost"] as const) if (left[limit] <= 0) throw limitExceeded(limit, limits[limit]);
  return left;
}

/** @returns takes it back @throws CodedError RUN_LIMIT_EXCEEDED */
function countChild(parent: OpenRun | undefined): () => void {
  if (parent === undefined) return () => {};
  const { children } = parent.handle.started.limits;
  if (parent.children >= children) throw limitExceeded("children", children);
  parent.children++;
  return () => {
    parent.children--;
  };
}

const least = (one: Limits, other: Limits): Limits =>
  Object.fromEntries(Object.entries(one).map(([limit, value]) => [limit, Math.min(value, other[limit as keyof Limits])])) as Limits;

const withoutId = ({ id: _, ...cause }: MessageMeta): Omit<MessageMeta, "id"> => cause;

interface ProfileData {
  readonly capabilities?: readonly string[];
  readonly prompt?: string;
}

async function profileOf(context: ModuleContext, profile: string): Promise<ProfileData> {
  const request = { name: profile, unresolved: "keep" };
  return (await context.call<{ data: ProfileData }>("composition:render", request)).data;
}
