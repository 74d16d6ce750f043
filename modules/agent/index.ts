/**
 * The domain `agent`: who plays patterns and who works for them, what each may do, what they say to each other, and how it went.
 *
 * Reading order: wire (requests and events), registry (what is known), spawn, messages, workers and think (how messages are
 * answered), lifecycle, activity, network (agents of others' making).
 */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { derivedId } from "../../daemon/events/message-ids.ts";
import { openLeases } from "../../daemon/leases.ts";
import { type Attempt, type Call, commandsOf, type Delivered, defineModule, type EventRecord } from "../../daemon/module.ts";
import { activityOf } from "./activity.ts";
import { aboutOf, type Home, placeOf } from "./home.ts";
import { assertMayDirect, endChildren, finish, reachedBy, refuseMessages, setPaused, terminate } from "./lifecycle.ts";
import { answer, broadcast, send } from "./messages.ts";
import { askHuman, hostedOf, hostOf, onDecided, onRequested } from "./network.ts";
import { Profiles } from "./profile.ts";
import { type AgentRecord, isLiving, Registry } from "./registry.ts";
import { settle, spawn } from "./spawn.ts";
import { think } from "./think.ts";
import * as wire from "./wire.ts";
import { Workers } from "./workers.ts";

const command = commandsOf<Home>();
const { agentId } = wire;
const reason = z.string().max(2000).optional();

export default defineModule<Home>({
  name: "agent",
  description: "Spawns agents from profiles, carries their messages, tells about them, holds and ends them.",
  commands: {
    "agent:spawn": command({
      description:
        "Makes an agent of a profile, or several; with a pattern, it begins to play it. It may do what its profile, its pattern and its parent all allow.",
      input: wire.spawnRequest,
      output: wire.spawnReply,
      handle: spawn,
    }),
    "agent:list": command({
      description: "Lists agents, the latest first.",
      reads: true,
      input: z.strictObject({
        state: wire.agentState.optional(),
        parent: z.string().optional(),
        group: z.string().optional(),
        profile: z.string().optional(),
        limit: z.number().int().min(1).max(1000).default(100),
      }),
      output: z.object({ agents: z.array(wire.agent) }),
      async handle({ limit, ...wanted }, { state: { registry }, signal }) {
        await registry.current(signal);
        const agents = [...registry.agents.values()]
          .filter((one) => Object.entries(wanted).every(([key, value]) => value === undefined || one[key as keyof AgentRecord] === value))
          .sort((left, right) => (left.agent_id < right.agent_id ? 1 : -1))
          .slice(0, limit)
          .map(viewOf);
        return { agents };
      },
    }),
    "agent:info": command({
      description: "Tells everything about one agent, also what it does now.",
      reads: true,
      input: z.strictObject({ agent_id: agentId }),
      output: wire.agent.extend({ children: z.array(z.string()), doing: wire.activity }),
      async handle({ agent_id }, { state, signal }) {
        const found = await state.registry.find(agent_id, signal);
        const children = [...state.registry.agents.values()].filter(({ parent }) => parent === agent_id).map((child) => child.agent_id);
        return { ...viewOf(found), children, doing: await activityOf(state, found) };
      },
    }),
    "agent:send": command({
      description: "Sends a message to an agent, or answers one; it is durable when the reply comes.",
      input: wire.sendRequest,
      output: wire.sendReply,
      handle: send,
    }),
    "agent:broadcast": command({
      description: "Sends a message to each of one's children, of a group, of the agents of a profile, or of some agents.",
      input: wire.broadcastRequest,
      output: wire.broadcastReply,
      handle: broadcast,
    }),
    "agent:pause": command({
      description: "Holds an agent and its run; messages to it wait.",
      input: z.strictObject({ agent_id: agentId, reason }),
      output: wire.agent,
      handle: async ({ agent_id, reason }, call) => viewOf(await setPaused(agent_id, true, reason, call)),
    }),
    "agent:resume": command({
      description: "Lets an agent go on that was held.",
      input: z.strictObject({ agent_id: agentId, reason }),
      output: wire.agent,
      handle: async ({ agent_id, reason }, call) => viewOf(await setPaused(agent_id, false, reason, call)),
    }),
    "agent:terminate": command({
      description: "Ends an agent, its run and all its children.",
      input: z.strictObject({ agent_id: agentId, reason }),
      output: z.object({ terminated: z.array(z.string()).describe("agents that lived until now, the given one last") }),
      async handle({ agent_id, reason }, { state: home, caller, meta, signal }) {
        const found = await home.registry.find(agent_id, signal);
        assertMayDirect(home, found, caller);
        return { terminated: await terminate(home, found, placeOf(meta, agent_id), reason) };
      },
    }),
    "agent:discover": command({
      description:
        "Finds agents of others' making on this NATS, by the Synadia Agent Protocol; a profile with their subject makes them workers.",
      reads: true,
      input: z.strictObject({}),
      output: z.object({
        agents: z.array(z.object({ agent: z.string(), owner: z.string(), name: z.string(), description: z.string(), subject: z.string() })),
      }),
      handle: async (_, { context, signal }) => ({ agents: await context.agentNetwork.discover(signal) }),
    }),
    "agent:report_claim": command({
      description: "Notes that a model claims something which no event shows. Interpreters alone report it.",
      input: wire.claimReport,
      output: z.object({ reported: z.literal(true) }),
      handle: reportClaim,
    }),
  },
  events: {
    "agent:spawned": { description: "An agent came to be.", schema: wire.agent },
    "agent:message_sent": { description: "A message to an agent, or the reply to one.", schema: wire.messageSent },
    "agent:paused": { description: "An agent is held.", schema: wire.paused },
    "agent:resumed": { description: "An agent goes on that was held.", schema: wire.paused },
    "agent:completed": { description: "An agent's run reached its end.", schema: wire.outcome },
    "agent:failed": { description: "An agent's run ended with an error, or did not begin.", schema: wire.outcome },
    "agent:terminated": { description: "An agent was ended by command, or with the one that spawned it.", schema: wire.ended },
    "agent:denied": { description: "An agent tried what it may not do.", schema: wire.denied },
    "agent:claim_unverified": {
      description: "A model said that it did something, and no event shows it.",
      schema: wire.claimUnverified,
    },
  },
  listens: {
    "orchestration:completed": (event, call) => onRunEnded("completed", event, call),
    "orchestration:failed": (event, call) => onRunEnded("failed", event, call),
    "orchestration:cancelled": (event, call) => onRunEnded("cancelled", event, call),
    "approval:requested": (event, { state }) => onRequested(state, event),
    "approval:decided": (event, { state }) => onDecided(state, event),
    "approval:expired": (event, { state }) => onDecided(state, event),
    "approval:withdrawn": (event, { state }) => onDecided(state, event),
  },
  async start(context): Promise<Home> {
    const registry = await Registry.open(context);
    const profiles = new Profiles(context);
    const stopping = new AbortController();
    const leases = await openLeases({
      state: context.state,
      log: context.log,
      self: registry.identity,
      newId: context.newId,
      wanted: () => registry.owners(),
      onGained(owner) {
        context.log.warn({ owner }, "this daemon answers for the agents of another");
        begin(owner);
      },
      onLost(owner) {
        context.log.warn({ owner }, "another daemon answers for the agents of this one");
        for (const { agent_id } of registry.of(owner)) workers.stop(agent_id);
      },
    });
    const workers = new Workers({
      context,
      registry,
      leases,
      think: (agent, message, signal) =>
        think(
          { context, profiles, registry, ask: (one, asked, question, until) => askHuman(home, one, asked, question, until) },
          agent,
          message,
          signal,
        ),
      reply: (message, content) => answer(home, message, content),
    });
    const home: Home = {
      context,
      registry,
      profiles,
      workers,
      leases,
      expected: new Map(),
      beginning: new Map(),
      replies: new Map(),
      prompts: new Map(),
      decisions: new Map(),
      stopping: stopping.signal,
      async [Symbol.asyncDispose]() {
        stopping.abort();
        await network[Symbol.asyncDispose]();
        await Promise.all([...settling, workers[Symbol.asyncDispose]()]);
        await leases[Symbol.asyncDispose]();
        await registry[Symbol.asyncDispose]();
      },
    };
    const settling = new Set<Promise<void>>();
    /** Goes on with the agents of this owner. */
    const begin = (owner: string) => {
      for (const { agent_id } of registry.of(owner)) workers.wake(agent_id);
      const settled = settle(home, owner).finally(() => settling.delete(settled));
      settling.add(settled);
    };
    context.onDenied((attempt) => tellDenied(home, attempt));
    registry.onMessage = ({ to }) => onMessage(home, to);
    registry.onReply = (reply) => home.replies.get(reply.in_reply_to ?? "")?.(reply);
    registry.onChanged = (agent_id) => onChanged(home, agent_id);
    begin(leases.owner);
    void leases.check();
    const network = context.agentNetwork.serve(hostOf(home));
    registry.onSpawned = (one) => network.announce(hostedOf(one));
    return home;
  },
});

/** Without what only the module itself needs. */
function viewOf({ place: _place, seq: _seq, charged: _charged, ...view }: AgentRecord) {
  return view;
}

/** A message may come to an agent that has ended while it was under way. */
function onMessage(home: Home, to: string): void {
  const receiver = home.registry.agents.get(to);
  if (receiver === undefined) return;
  if (isLiving(receiver)) {
    home.workers.wake(to);
    return;
  }
  refuseMessages(home, to, receiver.state).catch((error: unknown) => {
    home.context.log.warn({ agent: to, error }, "a message to an agent that has ended is refused at the next start");
  });
}

/** Another daemon may have held it, or let it go on. */
function onChanged({ registry, workers }: Home, agent_id: string): void {
  if (registry.agents.get(agent_id)?.state === "active") workers.wake(agent_id);
  else workers.stop(agent_id);
}

/** The end of a run is that of its agent, and of the agents that it spawned. */
async function onRunEnded(state: keyof typeof reachedBy, { data }: EventRecord, { state: home, meta }: Delivered<Home>): Promise<void> {
  const { agent_id, run_id, result, error } = data as { agent_id?: string; run_id: string; result?: unknown; error?: unknown };
  const { id: _, ...place } = meta;
  // Another daemon may have spawned them.
  await home.registry.current(home.stopping);
  await endChildren(home, run_id, place);
  if (agent_id === undefined) return;
  // A run that the agent's own run started is played in its name too, and ends nobody.
  const own = home.registry.agents.get(agent_id)?.run_id;
  if (own === undefined || own === run_id) await finish(home, agent_id, reachedBy[state], { result, error }, placeOf(meta, agent_id));
}

/** A refusal is told before whoever tried learns of it. */
async function tellDenied({ context, registry }: Home, { command, target, caller, meta }: Attempt): Promise<void> {
  const known = registry.agents.get(caller.id);
  const about = known === undefined ? { agent_id: caller.id } : aboutOf(known);
  const reason = "Its capabilities do not cover the target.";
  await context.emit("agent:denied", { ...about, target, command, reason }, placeOf(meta, caller.id)).catch((error: unknown) => {
    context.log.error({ agent: caller.id, target, error }, "a denied attempt could not be told");
  });
}

async function reportClaim(claim: z.output<typeof wire.claimReport>, { state: home, context, caller, meta }: Call<Home>) {
  if (caller.kind !== "module" || caller.id !== "orchestration") {
    throw new CodedError("CAPABILITY_DENIED", `${caller.id} may not use agent:report_claim: interpreters alone do`, {
      caller: caller.id,
      target: "agent:report_claim",
    });
  }
  const known = home.registry.agents.get(claim.agent_id);
  const reason = "The model says so, and no event of this run shows it.";
  const event = { ...(known && isLiving(known) && aboutOf(known)), ...claim, reason };
  await context.emit("agent:claim_unverified", event, placeOf(meta, claim.agent_id), { id: derivedId(meta.id, "claim") });
  return { reported: true as const };
}
