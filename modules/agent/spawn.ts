/**
 * Making agents. An agent is one event, `agent:spawned`; with a pattern, its run begins after it. What a stop of the daemon cut
 * short goes on at the next start: an agent that was told of begins its run.
 */
import type { z } from "zod";
import { intersect } from "../../daemon/capabilities.ts";
import { CodedError } from "../../daemon/errors.ts";
import { derivedId } from "../../daemon/events/message-ids.ts";
import type { Call, Caller } from "../../daemon/module.ts";
import { issuesOf, parseInput, tellIssues } from "../../daemon/parse-input.ts";
import { retry } from "../../daemon/retry.ts";
import { type Home, placeOf } from "./home.ts";
import { finish } from "./lifecycle.ts";
import type { Profile } from "./profile.ts";
import { type AgentRecord, isLiving } from "./registry.ts";
import { type Agent, agentLimits, type spawnReply, type spawnRequest } from "./wire.ts";

type SpawnRequest = z.output<typeof spawnRequest>;
type SpawnReply = z.output<typeof spawnReply>;
interface Spawned {
  readonly agent_id: string;
  readonly run_id?: string;
  readonly name?: string;
}

/** @throws CodedError RUN_LIMIT_EXCEEDED, COMPOSITION_NOT_FOUND, COMPOSITION_INVALID, what the run's start met with */
export async function spawn(request: SpawnRequest, call: Call<Home>): Promise<SpawnReply> {
  const { state: home, caller } = call;
  const parent = caller.kind === "agent" ? caller.id : undefined;
  const profile = await home.profiles.current(request.profile);
  const count = request.count ?? 1;
  using _expected = expect(home, parent, count);
  const outcomes = await Promise.allSettled(
    Array.from({ length: count }, (_, index) => spawnOne(numbered(request, index + 1), index + 1, profile, call)),
  );
  const failure = outcomes.find((outcome) => outcome.status === "rejected");
  const spawned = outcomes.filter((outcome) => outcome.status === "fulfilled").map(({ value }) => value);
  if (failure !== undefined) {
    for (const { agent_id } of spawned)
      await finish(home, agent_id, "terminated", { reason: "one of its group could not be spawned" }, placeOf(call.meta, agent_id));
    throw failure.reason;
  }
  const [first] = spawned as [Spawned];
  if (request.count === undefined) return { ...first, ...(request.group && { group: request.group }) };
  return { ...first, ...(request.group && { group: request.group }), agents: spawned };
}

const numbered = ({ count, ...request }: SpawnRequest, number: number): SpawnRequest =>
  count === undefined ? request : { ...request, name: `${request.name ?? request.group ?? "agent"}-${number}` };

/** Counts agents that are being spawned as their parent's children. @throws CodedError RUN_LIMIT_EXCEEDED */
function expect({ registry, expected }: Home, parent: string | undefined, count: number): Disposable {
  if (parent === undefined) return { [Symbol.dispose]: () => {} };
  const { children, depth } = registry.agents.get(parent)?.limits ?? agentLimits.parse({});
  const already = expected.get(parent) ?? 0;
  if (registry.countChildren(parent) + already + count > children) throw beyond("children", children, parent);
  if (depthOf(registry.agents.get(parent)) + 1 > depth) throw beyond("depth", depth, parent);
  expected.set(parent, already + count);
  return {
    [Symbol.dispose]() {
      const left = (expected.get(parent) ?? 0) - count;
      if (left > 0) expected.set(parent, left);
      else expected.delete(parent);
    },
  };
}

/** A run that no agent plays stands where an agent would. */
const depthOf = (parent: AgentRecord | undefined): number => parent?.depth ?? 1;

const beyond = (limit: string, allowed: number, agent_id: string) =>
  new CodedError("RUN_LIMIT_EXCEEDED", `The agent ${agent_id} reached its limit of ${allowed} ${limit}.`, { limit, allowed, agent_id });

async function spawnOne(
  request: SpawnRequest,
  number: number,
  profile: Profile,
  { state: home, context, caller, meta }: Call<Home>,
): Promise<Spawned> {
  const agent_id = context.newId();
  const place = placeOf(meta, agent_id);
  const record = recordOf(agent_id, derivedId(meta.id, String(number)), request, profile, home, caller);
  const { seq, duplicate } = await context.emit("agent:spawned", record, place, { id: derivedId(record.request, "spawned") });
  if (!duplicate) home.registry.apply({ type: "agent:spawned", data: record, time: record.spawned_at, seq }, place);
  const spawned = duplicate ? await earlier(home, record.request) : home.registry.get(agent_id);
  const run_id = spawned.run_id ?? (spawned.pattern === undefined ? undefined : await begin(home, spawned, !duplicate));
  return { agent_id: spawned.agent_id, ...(run_id && { run_id }), ...(spawned.name && { name: spawned.name }) };
}

function recordOf(agent_id: string, request_id: string, request: SpawnRequest, profile: Profile, home: Home, caller: Caller): Agent {
  const { name, group, pattern, task, inputs, interpreter, budget, model } = request;
  const parent = caller.kind === "agent" ? home.registry.agents.get(caller.id) : undefined;
  const capabilities = [profile.capabilities, caller.capabilities, request.capabilities].reduce(intersect, undefined);
  const approval = [...new Set([...(profile.approval ?? []), ...(parent?.approval ?? []), ...(caller.approval ?? [])])];
  const thinksWith = model ?? profile.model;
  return {
    agent_id,
    owner: home.leases.owner,
    ...(name && { name }),
    ...(group && { group }),
    profile: request.profile,
    profile_commit: profile.commit,
    ...(caller.kind === "agent" && { parent: caller.id }),
    depth: caller.kind === "agent" ? depthOf(parent) + 1 : 1,
    ...(pattern && { pattern }),
    ...(task && { task }),
    ...(thinksWith && { model: thinksWith }),
    state: "active",
    ...(capabilities && { capabilities: [...capabilities] }),
    ...(approval.length > 0 && { approval }),
    limits: limitsOf(request, caller.kind === "agent" ? (parent?.limits ?? agentLimits.parse({})) : undefined),
    ...(profile.outlives_parent && { outlives_parent: profile.outlives_parent }),
    spawned_at: new Date().toISOString(),
    ...(inputs && { inputs }),
    ...(interpreter && { interpreter }),
    ...(budget && { budget }),
    request: request_id,
  };
}

/**
 * Only an operator sets more than the defaults; an agent's agent has at most what it has itself. What else is in the budget is for
 * the run of the pattern, whose start checks it.
 */
function limitsOf({ budget = {}, pattern }: SpawnRequest, parent: Agent["limits"] | undefined): Agent["limits"] {
  const own = pattern === undefined ? budget : Object.fromEntries(Object.entries(budget).filter(([key]) => key in agentLimits.shape));
  const read = parseInput(agentLimits, own);
  if (!read.success) {
    const issues = issuesOf(read.problems, "budget");
    throw new CodedError("REQUEST_INVALID", `agent:spawn: ${tellIssues(issues)}`, { issues });
  }
  if (parent === undefined) return read.data;
  return {
    children: Math.min(read.data.children, parent.children),
    depth: Math.min(read.data.depth, parent.depth),
    tokens: Math.min(read.data.tokens, parent.tokens),
  };
}

/** The agent that this request has made before. */
async function earlier({ registry, context }: Home, request: string): Promise<AgentRecord> {
  await registry.current(context.signal);
  for (const one of registry.agents.values()) if (one.request === request) return one;
  throw new CodedError("AGENT_NOT_FOUND", "The agent that this request made has ended and is not remembered any more.", { request });
}

/**
 * Starts the agent's run, or finds the one that an earlier attempt started. If it cannot start, the agent has failed.
 * @param isNew it cannot have a run yet
 */
export function begin(home: Home, agent: AgentRecord, isNew = false): Promise<string> {
  const known = home.beginning.get(agent.agent_id);
  if (known !== undefined) return known;
  const begun = startRun(home, agent, isNew)
    .catch(async (error: unknown) => {
      // The daemon stops: the run begins at the next start.
      if (error instanceof CodedError && error.code === "SHUTTING_DOWN") throw error;
      void failSurely(home, agent, error);
      throw error;
    })
    .finally(() => home.beginning.delete(agent.agent_id));
  home.beginning.set(agent.agent_id, begun);
  const onFailure = (error: unknown) =>
    home.context.log.warn({ agent: agent.agent_id, error }, "the run of an agent may go on, though somebody held or ended the agent");
  begun.then(
    (run_id) => keepUp(home, agent.agent_id, run_id).catch(onFailure),
    () => {}, // told by whoever waits for it
  );
  return begun;
}

async function startRun(home: Home, agent: AgentRecord, isNew: boolean): Promise<string> {
  const { agent_id, pattern, task, inputs, interpreter, model, budget, capabilities, name, parent, place } = agent;
  const { context, registry } = home;
  const earlier = isNew ? [] : (await context.call<{ runs: { run_id: string }[] }>("orchestration:list", { agent_id })).runs;
  const [known] = earlier;
  if (known !== undefined) {
    registry.began(agent_id, known.run_id);
    return known.run_id;
  }
  const thinks = interpreter === "llm" || interpreter === "hybrid";
  const instructions = thinks ? (await home.profiles.of(agent)).prompt : undefined;
  const request = {
    pattern,
    agent_id,
    inputs: { ...(task !== undefined && { task }), ...inputs },
    ...(interpreter && { interpreter }),
    ...(model && { model }),
    ...(instructions && { instructions }),
    ...(budget && { budget }),
    ...(capabilities && { capabilities }),
    ...(name && { name }),
  };
  const run = (parent === undefined ? undefined : registry.agents.get(parent)?.run_id) ?? place.run;
  const cause = { ...place, ...(run && { run }) };
  // The right to spawn is the right to start the run, so the module itself asks. The run's limits depend on who wants it.
  const caller = parent === undefined ? undefined : ({ kind: "agent", id: parent, isApproved: true } as const);
  const started = await context.call<{ run_id: string; capabilities?: string[] }>("orchestration:start", request, {
    cause,
    ...(caller && { caller }),
  });
  registry.began(agent_id, started.run_id, started.capabilities);
  return started.run_id;
}

/** Somebody may have held or ended the agent at another daemon, which could not know of the run yet. */
async function keepUp({ registry, context, stopping }: Home, agent_id: string, run_id: string): Promise<void> {
  await registry.current(stopping);
  const { state, place } = registry.get(agent_id);
  if (state === "paused") await context.call("orchestration:pause", { run_id }, { cause: place });
  if (state === "terminated" || state === "failed") await context.call("orchestration:cancel", { run_id }, { cause: place });
}

/** The run may have begun all the same, such as when its start could not be told: then nobody is to play it on. */
async function failSurely(home: Home, { agent_id, place }: AgentRecord, error: unknown): Promise<void> {
  const { context, stopping } = home;
  const problem = error instanceof CodedError ? error.toBody().error : { code: "INTERNAL", message: String(error), details: {} };
  const { code, message, details } = problem;
  const fail = async () => {
    const { runs } = await context.call<{ runs: { run_id: string; state: string }[] }>("orchestration:list", { agent_id });
    for (const { run_id, state } of runs) if (state === "running") await context.call("orchestration:cancel", { run_id }, { cause: place });
    await finish(home, agent_id, "failed", { error: { code, message, details } }, { ...place, agent: agent_id });
  };
  const onFailure = (failure: unknown) => context.log.warn({ agent: agent_id, error: failure }, "an agent that failed is told of later");
  await retry(fail, { signal: stopping, onFailure }).catch(() => {});
}

/**
 * Goes on with what a stop of the daemon that had these agents cut short: runs that have not begun, children and askers of agents that have ended.
 * Repeated, since other modules answer only after all have started.
 */
export async function settle(home: Home, owner: string): Promise<void> {
  const { registry, context, stopping } = home;
  const onFailure = (error: unknown) => {
    const isStarting = error instanceof CodedError && error.code === "SHUTTING_DOWN";
    if (!isStarting) context.log.warn({ error }, "an agent could not be settled yet");
  };
  const surely = (work: () => Promise<unknown>) => retry(work, { signal: stopping, firstPause: 10, onFailure }).catch(() => {});
  const all = registry.of(owner);
  const unbegun = all.filter((one) => isLiving(one) && one.pattern !== undefined && one.run_id === undefined);
  const gone = all.filter(
    ({ state, agent_id }) => !isLiving({ state }) && (registry.pending.has(agent_id) || registry.countChildren(agent_id) > 0),
  );
  await Promise.all([
    ...unbegun.map((one) =>
      surely(async () => {
        // A refusal was told as the agent's failure; only what passes is tried again.
        await begin(home, one).catch((error: unknown) => {
          if (!(error instanceof CodedError) || error.code === "SHUTTING_DOWN") throw error;
        });
      }),
    ),
    ...gone.map(({ agent_id, state, place }) => surely(() => finish(home, agent_id, state as "completed", {}, place))),
  ]);
}
