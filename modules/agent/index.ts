/**
 * The domain `agent`: who plays patterns, what each may do, and how it went.
 *
 * Reading order: agents (the records), spawn.
 */
import { z } from "zod";
import { type Call, commandsOf, type Delivered, defineModule, type EventRecord } from "../../daemon/module.ts";
import { type Agent, type Agents, admit, agent, childrenOf, type Ending, find, finish, placeOf, reachedBy } from "./agents.ts";
import { settleInTime, spawn, spawnRequest } from "./spawn.ts";

const command = commandsOf<Agents>();
const agentId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "expected the agent_id of a reply");
const ended = z.object({ agent_id: z.string(), name: z.string().optional(), run_id: z.string().optional(), parent: z.string().optional() });
const outcome = ended.extend({ result: z.unknown().optional(), error: z.unknown().optional() });

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

async function onRunEnded(state: keyof typeof reachedBy, { data }: EventRecord, { state: known, context, meta }: Delivered<Agents>) {
  const { agent_id, run_id, result, error } = data as Ending;
  if (agent_id !== undefined) await finish(known, context, reachedBy[state], { agent_id, run_id, result, error }, placeOf(meta, agent_id));
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
