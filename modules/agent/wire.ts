/**
 * What agents are asked for and what is told of them: the requests, replies and events of the domain `agent`. Pure.
 *
 * `agent:spawn`, `agent:send`, `agent:broadcast` and `agent:terminate` recognise a repetition by the id of the message that asks
 * (`meta.id`, for a step `run/step`): asked again, they do nothing twice and answer the same.
 */
import { z } from "zod";

export const agentId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "expected the agent_id of a reply");

const capability = z.string();

export const agentState = z.enum(["active", "paused", "completed", "failed", "terminated"]);

/** Who sent a message: the id of an agent, or `client/NAME`, `module/NAME`. */
const sender = z.string();

/** An error as it stands in a reply or an event. */
export const problem = z.object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()).default({}) });

/** What models cost. */
export const usage = z.object({ tokens: z.number(), cost: z.number().optional().describe("in dollars") });

export const agentLimits = z.strictObject({
  children: z.number().int().min(0).max(1000).default(20).describe("agents of its own at the same time"),
  depth: z.number().int().min(1).max(16).default(4).describe("agents spawned by agents, counted from the first, which has depth 1"),
  tokens: z.number().int().positive().default(200_000).describe("of its models, for all answers of an agent that plays no pattern"),
});

const interpreter = z.enum(["scripted", "llm", "hybrid"]);

export const agent = z.object({
  agent_id: z.string(),
  owner: z.string().describe("whoever holds this owner's lease answers its messages"),
  name: z.string().optional(),
  group: z.string().optional(),
  profile: z.string(),
  profile_commit: z.string(),
  parent: z.string().optional().describe("the agent that spawned it"),
  depth: z.number(),
  pattern: z.string().optional(),
  task: z.string().optional(),
  model: z.string().optional().describe("with which it thinks; without a pattern and a model it answers by its rules"),
  run_id: z.string().optional(),
  state: agentState,
  capabilities: z.array(capability).optional().describe("absent = not restricted"),
  approval: z.array(capability).optional().describe("those of them that a human has to approve each time"),
  limits: agentLimits,
  spent: usage.optional().describe("by the answers of an agent that plays no pattern"),
  outlives_parent: z.literal(true).optional().describe("it goes on when the agent that spawned it ends"),
  spawned_at: z.string(),
  ended_at: z.string().optional(),
  error: problem.optional(),
  inputs: z.record(z.string(), z.unknown()).optional(),
  interpreter: interpreter.optional(),
  budget: z.record(z.string(), z.unknown()).optional(),
  request: z.string().describe("id of the message that asked for it"),
});
export type Agent = z.output<typeof agent>;

export const spawnRequest = z.strictObject({
  profile: z.string(),
  pattern: z.string().optional(),
  task: z.string().optional().describe("given to the pattern and the profile as the variable task"),
  inputs: z.record(z.string(), z.unknown()).optional().describe("values of the pattern's and the profile's variables"),
  interpreter: interpreter.optional(),
  model: z.string().optional().describe("instead of the profile's"),
  budget: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("`children`, `depth` and `tokens`; with a pattern, also the other limits of its run"),
  capabilities: z.array(capability).optional().describe("allows less than the profile does"),
  name: z.string().max(200).optional(),
  count: z.number().int().min(1).max(1000).optional().describe("so many of the same, named NAME-1, NAME-2, …"),
  group: z.string().max(200).optional().describe("a name for all of them, for agent:broadcast and waiting"),
});

const spawnedAgent = z.object({ agent_id: z.string(), run_id: z.string().optional(), name: z.string().optional() });
/** Without `count` the agent itself; with it, `agents` holds all and the first stands beside. */
export const spawnReply = spawnedAgent.extend({ group: z.string().optional(), agents: z.array(spawnedAgent).optional() });

export const sendRequest = z.strictObject({
  to: z.string().describe("an agent_id; for a reply, it may be left to in_reply_to").optional(),
  message: z.unknown().optional().describe("any JSON"),
  in_reply_to: z.string().optional().describe("the message_id that this answers"),
  expects_reply: z.boolean().optional().describe("who cannot answer says so with an error"),
  error: problem.optional().describe("of a reply: why there is no answer"),
});

export const sendReply = z.object({
  message_id: z.string(),
  to: z.string(),
  seq: z.number().describe("position in the event log: an answer comes after it"),
});

export const broadcastRequest = z.strictObject({
  to: z.union([
    z.literal("children").describe("of the agent that asks"),
    z.strictObject({ group: z.string() }),
    z.strictObject({ profile: z.string() }),
    z.strictObject({ agents: z.array(agentId).max(1000) }),
  ]),
  message: z.unknown(),
  expects_reply: z.boolean().optional(),
});
export const broadcastReply = z.object({ sent: z.array(sendReply) });

/**
 * The event `agent:message_sent`: one message to one receiver. A wait for the reply to `m` is a wait for one with
 * `in_reply_to: m.message_id`; one with `error` ends the wait with that error.
 */
export const messageSent = z.object({
  message_id: z.string(),
  from: sender,
  to: z.string().describe("an agent_id, or the sender of the message that this answers"),
  message: z.unknown().optional(),
  in_reply_to: z.string().optional(),
  expects_reply: z.boolean().optional(),
  error: problem.optional(),
  usage: usage.optional().describe("what the answer cost"),
});
export type Message = z.output<typeof messageSent>;

/** What an agent is doing now. */
export const activity = z.object({
  is: z.enum(["idle", "playing", "thinking", "waiting", "paused", "ended"]),
  run_id: z.string().optional(),
  steps: z
    .array(z.object({ line: z.number().describe("in the pattern's strategy"), what: z.string(), since: z.string() }))
    .optional()
    .describe("of its run, under way now: what is done, and what a wait waits for"),
  messages: z.number().describe("that it has not answered yet"),
});

const about = z.object({
  agent_id: z.string(),
  name: z.string().optional(),
  parent: z.string().optional(),
  run_id: z.string().optional(),
});
export const ended = about.extend({ reason: z.string().optional() });
export const outcome = about.extend({ result: z.unknown().optional(), error: z.unknown().optional() });
export const paused = about.extend({ by: z.string().optional(), reason: z.string().optional() });

/** The event `agent:denied`: an agent tried what it may not do. */
export const denied = about.extend({
  target: z.string().describe("command, tool:NAME or emit:NAME"),
  command: z.string().describe("the command by which it tried"),
  reason: z.string(),
});

/** `agent:report_claim`, which interpreters alone may call, and the event `agent:claim_unverified`. */
export const claimReport = z.strictObject({
  agent_id: z.string(),
  run_id: z.string().optional(),
  step: z.string().optional(),
  claim: z.string().max(2000).describe("what the model says that it did"),
  target: z.string().optional().describe("the command, tool or event that it claims to have used"),
});
export const claimUnverified = claimReport.extend({ reason: z.string() });
