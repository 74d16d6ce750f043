/** The domain `orchestration`: plays patterns as durable runs. */
import { z } from "zod";
import { commandsOf, defineModule } from "../../daemon/module.ts";
import { explainWhole, explanation } from "./explain.ts";
import { limits } from "./interpreter/limits.ts";
import { findPattern, givenPattern } from "./pattern.ts";
import { historySettings } from "./retention.ts";
import { openRuns, type Runs } from "./runs.ts";
import {
  capabilities,
  details,
  direction,
  identity,
  rerunRequest,
  runRecord,
  runState,
  runStatus,
  startRequest,
  stepError,
  unverifiedClaim,
  usage,
} from "./schema.ts";
import { simulate, simulateRequest, simulation } from "./simulate.ts";
import { crystallize, crystallizeReply, crystallizeRequest } from "./thinking/crystallize.ts";
import { assertModel } from "./thinking/thinker.ts";
import { toldStep, toldSteps } from "./told-steps.ts";

const command = commandsOf<Runs>();

const ended = {
  ...identity,
  steps: z.number(),
  usage,
  judgements: runStatus.shape.judgements.unwrap(),
  duration_ms: z.number(),
  unverified: z.array(unverifiedClaim).optional(),
};
const runId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "expected the run_id of a reply");
/** Longest wait of `orchestration:status`. */
const maximumWait = 600;

export default defineModule<Runs>({
  name: "orchestration",
  description: "Plays patterns as runs that survive a crash.",
  commands: {
    "orchestration:start": command({
      description: "Starts a run of a pattern, at the pattern's present commit.",
      input: startRequest,
      output: runRecord.extend({ capabilities: capabilities.optional() }),
      async handle(request, { state, context, caller, meta }) {
        if (request.interpreter !== "scripted") await assertModel(context, request.model);
        return state.start(request, caller, meta);
      },
    }),
    "orchestration:rerun": command({
      description:
        "Starts a run that takes over the steps of another up to one, and does the rest again, at the same commit of the pattern.",
      input: rerunRequest,
      output: runRecord.extend({ capabilities: capabilities.optional() }),
      handle: (request, { state, caller, meta }) => state.rerun(request, caller, meta),
    }),
    "orchestration:status": command({
      description: "Tells how far a run is; with `wait`, after it ended or that many seconds.",
      reads: true,
      input: z.strictObject({ run_id: runId, wait: z.number().min(0).max(maximumWait).default(0).describe("seconds") }),
      output: runStatus,
      deadline: maximumWait + 30,
      handle: ({ run_id, wait }, { state, signal }) => state.status(run_id, wait, signal),
    }),
    "orchestration:list": command({
      description: "Lists runs, the latest first.",
      reads: true,
      input: z.strictObject({
        state: runState.optional(),
        pattern: z.string().optional(),
        agent_id: z.string().optional(),
        parent_run: z.string().optional(),
        limit: z.number().int().min(1).max(1000).default(100),
      }),
      output: z.object({ runs: z.array(runRecord) }),
      handle: async (filter, { state, signal }) => ({ runs: await state.catalogue.list(filter, signal) }),
    }),
    "orchestration:cancel": command({
      description: "Ends an open run; of one that ended already it only tells how.",
      input: z.strictObject({ run_id: runId }),
      output: runStatus,
      handle: ({ run_id }, { state, signal }) => state.direct(run_id, "cancel", signal),
    }),
    "orchestration:pause": command({
      description: "Lets a run rest: it begins no further step. A run that waits costs nothing, a resting one not even memory.",
      input: z.strictObject({ run_id: runId }),
      output: runStatus,
      handle: ({ run_id }, { state, signal }) => state.direct(run_id, "pause", signal),
    }),
    "orchestration:resume": command({
      description: "Lets a paused run go on where it was.",
      input: z.strictObject({ run_id: runId }),
      output: runStatus,
      handle: ({ run_id }, { state, signal }) => state.direct(run_id, "resume", signal),
    }),
    "orchestration:journal": command({
      description: "Reads what a run recorded: its start, the intent and the result of each step, with time, tokens and cost, and its end.",
      reads: true,
      input: z.strictObject({
        run_id: runId,
        limit: z.number().int().min(1).max(1000).default(100),
        cursor: z
          .string()
          .regex(/^\d{1,9}$/, "expected a cursor of an earlier reply")
          .default("0"),
      }),
      output: z.object({
        entries: z.array(z.looseObject({ type: z.string() })).describe("as they stand in the journal"),
        steps: z.array(toldStep).describe("what these entries tell, step by step"),
        cursor: z.string().optional(),
      }),
      async handle({ run_id, limit, cursor }, { state }) {
        const entries = await state.journal(run_id);
        const start = Number(cursor);
        const end = start + limit;
        return {
          entries: entries.slice(start, end).map((entry) => ({ ...entry })),
          steps: toldSteps(entries, start, end),
          ...(end < entries.length && { cursor: String(end) }),
        };
      },
    }),
    "orchestration:generate": command({
      description: "Asks a model at the expense of a run, for an agent that works for it. The module of the agents alone may use it.",
      input: z.strictObject({ run_id: runId, request: z.looseObject({ model: z.string() }).describe("as model:generate takes it") }),
      output: z.looseObject({}).describe("as model:generate replies"),
      deadline: 3600,
      handle: async ({ run_id, request }, call) => ({ ...(await call.state.generate(run_id, request, call)) }),
    }),
    "orchestration:explain": command({
      description: "Reads a pattern and tells its statements, judgement points, events, and the capabilities it needs.",
      reads: true,
      input: z.strictObject({ pattern: z.string().optional(), content: z.string().optional().describe("YAML of a pattern") }),
      output: explanation,
      handle: async (given, { context }) =>
        explainWhole(await givenPattern(context, given), {
          load: (name) => findPattern(context, name),
          tools: async () => (await context.call<{ tools: { name: string }[] }>("tool:list", {})).tools.map(({ name }) => name),
          isCommand: context.isCommand,
        }),
    }),
    "orchestration:simulate": command({
      description: "Plays a pattern with stubbed agents and tools and tells what a run would do. It changes nothing.",
      reads: true,
      input: simulateRequest,
      output: simulation,
      handle: (request, { context, signal }) => simulate(context, request, signal),
    }),
    "orchestration:crystallize": command({
      description:
        "Proposes a fork in which judgement points that were decided the same way often enough are statements, with the evidence. It changes nothing.",
      reads: true,
      input: crystallizeRequest,
      output: crystallizeReply,
      handle: (request, { context }) => crystallize(context, request),
    }),
  },
  events: {
    "orchestration:started": {
      description: "A run began. It holds all that the run is played from.",
      schema: z.looseObject({
        ...identity,
        ...details,
        inputs: z.record(z.string(), z.unknown()).optional(),
        limits,
        capabilities: capabilities.optional(),
      }),
    },
    "orchestration:progressed": {
      description: "A run goes on; at most four times a second.",
      schema: z.object({ ...identity, steps: z.number(), milliseconds: z.number() }),
    },
    "orchestration:paused": { description: "A run rests until it is resumed.", schema: z.object({ ...identity, usage }) },
    "orchestration:resumed": { description: "A run that was paused goes on.", schema: z.object({ ...identity, usage }) },
    "orchestration:completed": {
      description: "A run reached its end.",
      schema: z.object({ ...ended, result: z.unknown(), objects: z.unknown().optional().describe("where a large result is") }),
    },
    "orchestration:failed": { description: "A run ended with an error.", schema: z.object({ ...ended, error: stepError }) },
    "orchestration:directed": {
      description: "A run is to be cancelled, paused or resumed by the daemon that plays it, or takes it over.",
      schema: z.object({ run_id: z.string(), to: direction }),
    },
    "orchestration:deleted": {
      description: "The journals of these ended runs were deleted, since there are too many or they are too old.",
      schema: z.object({ run_ids: z.array(z.string()) }),
    },
    "orchestration:cancelled": { description: "A run was ended by command.", schema: z.object(ended) },
  },
  settings: { key: "runs", schema: historySettings },
  start: openRuns,
});
