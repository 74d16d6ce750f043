/** The domain `agent`: who plays patterns, what each may do, and how it went. */
import { z } from "zod";
import { intersect } from "../daemon/capabilities.ts";
import { CodedError } from "../daemon/errors.ts";
import {
  type Call,
  type Caller,
  commandsOf,
  type Delivered,
  defineModule,
  type EventRecord,
  type MessageMeta,
  type ModuleContext,
} from "../daemon/module.ts";
import { retry } from "../daemon/retry.ts";

const agent = z.object({
  agent_id: z.string(),
  name: z.string().optional(),
  profile: z.string(),
  profile_commit: z.string(),
  /** The agent that spawned it. */
  parent: z.string().optional(),
  pattern: z.string().optional(),
  task: z.string().optional(),
  run_id: z.string().optional(),
  state: z.enum(["active", "completed", "failed", "terminated"]),
  capabilities: z.array(z.string()).optional().describe("absent = not restricted"),
  spawned_at: z.string(),
  ended_at: z.string().optional(),
});
type Agent = z.infer<typeof agent>;

interface Known {
  readonly agents: Map<string, Agent>;
}
interface Agents extends Known, AsyncDisposable {}

/** Ended agents that are remembered. */
const endedAgents = 1000;

const command = commandsOf<Agents>();
const agentId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "expected the agent_id of a reply");
const ended = z.object({ agent_id: z.string(), name: z.string().optional(), run_id: z.string().optional(), parent: z.string().optional() });
const outcome = ended.extend({ result: z.unknown().optional(), error: z.unknown().optional() });

const spawnRequest = z.strictObject({
  profile: z.string(),
  pattern: z.string().optional(),
  task: z.string().optional().describe("given to the pattern as the variable task"),
  inputs: z.record(z.string(), z.unknown()).optional(),
  interpreter: z.enum(["scripted", "llm", "hybrid"]).optional(),
  model: z.string().optional().describe("for the interpreters that think"),
  budget: z.record(z.string(), z.unknown()).optional(),
  capabilities: z.array(z.string()).optional().describe("allows less than the profile does"),
  name: z.string().max(200).optional(),
});
type SpawnRequest = z.output<typeof spawnRequest>;

export default defineModule<Agents>({
  name: "agent",
  description: "Spawns agents from profiles, tells about them and ends them.",
  commands: {
    "agent:spawn": command({
      description:
        "Makes an agent of a profile; with a pattern, it begins to play it. It may do what its profile, its pattern and its parent all allow.",
      input: spawnRequest,
      output: z.object({ agent_id: z.string(), run_id: z.string().optional() }),
      handle: spawn,
    }),
    "agent:list": command({
      description: "Lists agents, the latest first.",
      reads: true,
      input: z.strictObject({
        state: agent.shape.state.optional(),
        parent: z.string().optional(),
        limit: z.number().int().min(1).max(1000).default(100),
      }),
      output: z.object({ agents: z.array(agent) }),
      handle: ({ state, parent, limit }, { state: { agents } }) => ({
        agents: [...agents.values()]
          .filter((one) => (state === undefined || one.state === state) && (parent === undefined || one.parent === parent))
          .sort((left, right) => (left.agent_id < right.agent_id ? 1 : -1))
          .slice(0, limit),
      }),
    }),
    "agent:info": command({
      description: "Tells everything about one agent.",
      reads: true,
      input: z.strictObject({ agent_id: agentId }),
      output: agent.extend({ children: z.array(z.string()) }),
      handle: ({ agent_id }, { state }) => ({
        ...find(state, agent_id),
        children: childrenOf(state, agent_id).map((child) => child.agent_id),
      }),
    }),
    "agent:terminate": command({
      description: "Ends an agent, its run and all its children.",
      input: z.strictObject({ agent_id: agentId }),
      output: z.object({ terminated: z.array(z.string()).describe("agents that were active until now, the given one last") }),
      async handle({ agent_id }, call) {
        find(call.state, agent_id);
        return { terminated: await terminate(agent_id, call) };
      },
    }),
  },
  events: {
    "agent:spawned": { description: "An agent came to be.", schema: agent },
    "agent:completed": { description: "An agent's run reached its end.", schema: outcome },
    "agent:failed": { description: "An agent's run ended with an error.", schema: outcome },
    "agent:terminated": { description: "An agent was ended by command.", schema: ended },
  },
  listens: {
    "orchestration:completed": (event, call) => onRunEnded("completed", event, call),
    "orchestration:failed": (event, call) => onRunEnded("failed", event, call),
    "orchestration:cancelled": (event, call) => onRunEnded("cancelled", event, call),
  },
  async start(context) {
    const agents = await context.state.entries<Agent>();
    for (const one of agents.values()) admit(context, one);
    const stopping = new AbortController();
    const begun = [...agents.values()].filter(({ state, pattern, run_id }) => state === "active" && pattern !== undefined && !run_id);
    const settled = Promise.allSettled(begun.map((one) => settleInTime({ agents }, context, one, stopping.signal)));
    return {
      agents,
      async [Symbol.asyncDispose]() {
        stopping.abort();
        await settled;
      },
    };
  },
});

async function spawn(
  request: SpawnRequest,
  { state, context, caller, meta }: Call<Agents>,
): Promise<{ agent_id: string; run_id?: string }> {
  const profile = await loadProfile(context, request.profile);
  const agent_id = context.newId();
  const capabilities = [profile.capabilities, caller.capabilities, request.capabilities].reduce(intersect, undefined);
  const spawned: Agent = {
    agent_id,
    ...(request.name && { name: request.name }),
    profile: request.profile,
    profile_commit: profile.commit,
    ...(caller.kind === "agent" && { parent: caller.id }),
    ...(request.pattern && { pattern: request.pattern }),
    ...(request.task && { task: request.task }),
    state: "active",
    ...(capabilities && { capabilities: [...capabilities] }),
    spawned_at: new Date().toISOString(),
  };
  await keep(state, context, spawned);
  let run: StartedRun | undefined;
  try {
    if (request.pattern !== undefined) run = await startRun(state, spawned, request, context, caller, meta);
    const playing = { ...spawned, ...(run && { run_id: run.run_id }), ...(run?.capabilities && { capabilities: run.capabilities }) };
    await context.emit("agent:spawned", playing, placeOf(meta, agent_id));
    // A short run may have ended by now, and its end been noted.
    const { state: reached, ended_at } = state.agents.get(agent_id) ?? spawned;
    await keep(state, context, { ...playing, state: reached, ...(ended_at && { ended_at }) });
    return { agent_id, ...(run && { run_id: run.run_id }) };
  } catch (error) {
    // What cannot be undone now is settled at the next start.
    await Promise.allSettled([forget(state, context, agent_id), run && cancelRun(context, run.run_id, placeOf(meta, agent_id))]);
    throw error;
  }
}

/** A run that nobody was told of must not play on. It stops even where its end cannot be recorded at present. */
async function cancelRun(context: ModuleContext, run_id: string, cause: Partial<MessageMeta>): Promise<void> {
  await context.call("orchestration:cancel", { run_id }, { cause }).catch((error: unknown) => {
    context.log.warn({ run: run_id, error }, "the run of an agent that could not be spawned did not say that it ended");
  });
}

/** Other modules answer only after all have started. */
async function settleInTime(known: Known, context: ModuleContext, one: Agent, signal: AbortSignal): Promise<void> {
  const onFailure = (error: unknown) => {
    const isStarting = error instanceof CodedError && error.code === "SHUTTING_DOWN";
    if (!isStarting) context.log.warn({ agent: one.agent_id, error }, "an agent that was being spawned could not be settled yet");
  };
  await retry(() => settle(known, context, one), { signal, firstPause: 10, onFailure });
}

/** The daemon stopped while it spawned this agent, and answered nobody: the run is cancelled, or never began. */
async function settle(known: Known, context: ModuleContext, { agent_id }: Agent): Promise<void> {
  const place = { agent: agent_id };
  const { runs } = await context.call<{ runs: { run_id: string }[] }>("orchestration:list", { agent_id });
  for (const { run_id } of runs) {
    const { state, result, error } = await context.call<RunEnd>("orchestration:cancel", { run_id }, { cause: place });
    await finish(known, context, reachedBy[state], { agent_id, run_id, result, error }, place);
  }
  const error = { code: "SHUTTING_DOWN", message: "The daemon stopped before the agent's run began." };
  await finish(known, context, "failed", { agent_id, error }, place);
}

/** Reply of `orchestration:cancel`, as far as it is used here. */
interface RunEnd {
  readonly state: keyof typeof reachedBy;
  readonly result?: unknown;
  readonly error?: unknown;
}

/** How the end of a run is that of its agent. */
const reachedBy = { completed: "completed", failed: "failed", cancelled: "terminated" } as const;

interface StartedRun {
  readonly run_id: string;
  readonly capabilities?: string[];
}

/** The right to spawn is the right to start the run, so the module itself asks; the run is part of the parent's. */
async function startRun(
  { agents }: Known,
  { agent_id, capabilities, parent }: Agent,
  { pattern, task, inputs, interpreter, budget, name }: SpawnRequest,
  context: ModuleContext,
  { kind, id }: Caller,
  meta: MessageMeta,
): Promise<StartedRun> {
  const request = {
    pattern,
    agent_id,
    inputs: { ...(task !== undefined && { task }), ...inputs },
    ...(interpreter && { interpreter }),
    ...(budget && { budget }),
    ...(capabilities && { capabilities }),
    ...(name && { name }),
  };
  const run = (parent === undefined ? undefined : agents.get(parent)?.run_id) ?? meta.run;
  const cause = { ...placeOf(meta, agent_id), ...(run && { run }) };
  // The limits of a run depend on who wants it; what it may do stands in the request.
  return context.call("orchestration:start", request, { cause, ...(kind === "agent" && { caller: { kind, id } }) });
}

/** Fixed, so that the end of an agent is told once. */
const endedEventId = (agent_id: string): string => `${agent_id}/ended`;

const placeOf = ({ id: _, ...meta }: MessageMeta, agent_id: string): Partial<MessageMeta> => ({ ...meta, agent: agent_id });

async function loadProfile(context: ModuleContext, name: string): Promise<{ commit: string; capabilities?: string[] }> {
  const { type, commit, data } = await context.call<{ type: string; commit: string; data: { capabilities?: string[] } }>(
    "composition:get",
    { name },
  );
  if (type !== "profile") throw new CodedError("COMPOSITION_INVALID", `${name} is a ${type}; an agent needs a profile.`, { name, type });
  return { commit, capabilities: data.capabilities };
}

async function onRunEnded(state: keyof typeof reachedBy, { data }: EventRecord, { state: known, context, meta }: Delivered<Agents>) {
  const { agent_id, run_id, result, error } = data as Ending;
  if (agent_id !== undefined) await finish(known, context, reachedBy[state], { agent_id, run_id, result, error }, placeOf(meta, agent_id));
}

interface Ending {
  readonly agent_id: string;
  readonly run_id?: string | undefined;
  readonly result?: unknown;
  readonly error?: unknown;
}

/** Tells how an active agent ended, once. */
async function finish(
  known: Known,
  context: ModuleContext,
  reached: Exclude<Agent["state"], "active">,
  { agent_id, run_id, result, error }: Ending,
  place: Partial<MessageMeta>,
): Promise<void> {
  const found = known.agents.get(agent_id);
  if (found?.state !== "active") return;
  const { name, parent } = found;
  const about = { agent_id, ...(run_id && { run_id }), ...(name && { name }), ...(parent && { parent }) };
  const detail = reached === "completed" ? { result } : reached === "failed" ? { error } : {};
  await context.emit(`agent:${reached}`, { ...about, ...detail }, place, { id: endedEventId(agent_id) });
  await end(known, context, known.agents.get(agent_id) ?? found, reached);
}

/** Children first, so that none outlives the one that answers for it. */
async function terminate(agent_id: string, call: Call<Agents>): Promise<string[]> {
  const { state, context, meta } = call;
  const terminated: string[] = [];
  for (const child of childrenOf(state, agent_id)) terminated.push(...(await terminate(child.agent_id, call)));
  const found = find(state, agent_id);
  if (found.state !== "active") return terminated;
  if (found.run_id !== undefined) await context.call("orchestration:cancel", { run_id: found.run_id }, { cause: placeOf(meta, agent_id) });
  await finish(state, context, "terminated", { agent_id, run_id: found.run_id }, placeOf(meta, agent_id));
  return [...terminated, agent_id];
}

async function end(state: Known, context: ModuleContext, found: Agent, reached: Agent["state"]): Promise<void> {
  await keep(state, context, { ...found, state: reached, ended_at: new Date().toISOString() });
  const over = [...state.agents.values()].filter((one) => one.state !== "active");
  for (const { agent_id } of over.slice(0, Math.max(0, over.length - endedAgents))) await forget(state, context, agent_id);
}

async function keep({ agents }: Known, context: ModuleContext, one: Agent): Promise<void> {
  agents.set(one.agent_id, one);
  admit(context, one);
  await context.state.put(one.agent_id, one);
}

async function forget({ agents }: Known, context: ModuleContext, agent_id: string): Promise<void> {
  agents.delete(agent_id);
  context.setAgentCapabilities(agent_id, undefined);
  await context.state.delete(agent_id);
}

/** Messages in the name of an agent are taken while it is active, and held to what it may do. */
function admit(context: ModuleContext, { agent_id, state, capabilities }: Agent): void {
  context.setAgentCapabilities(agent_id, state === "active" ? (capabilities ?? ["*"]) : undefined);
}

function find({ agents }: Agents, agent_id: string): Agent {
  const found = agents.get(agent_id);
  if (found === undefined) throw new CodedError("AGENT_NOT_FOUND", `There is no agent ${agent_id}.`, { agent_id });
  return found;
}

const childrenOf = ({ agents }: Agents, agent_id: string): Agent[] => [...agents.values()].filter(({ parent }) => parent === agent_id);
