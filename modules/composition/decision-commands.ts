/** The commands on the decisions of a pattern: track one, give it its outcome, read them back. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { derivedId } from "../../daemon/events/message-ids.ts";
import { commandsOf, type ModuleContext } from "../../daemon/module.ts";
import { cursorGrammar } from "./catalogue/decision-rows.ts";
import { assertRecordable, decisionEntry, isPending, type TrackedDecision, trackedBy } from "./entries.ts";
import { outcomeKey, resolvedEvent, trackedEvent } from "./projection.ts";
import type { State } from "./state.ts";
import { fieldsOf, parseReference, versionOf } from "./store.ts";

const command = commandsOf<State>();

const pattern = z.string().min(1).max(200).describe("name of a pattern, or name@version");
const identifier = z.string().regex(/^[\x21-\x7e]{1,128}$/, "expected at most 128 printable characters without spaces");

export const decisionCommands = {
  "composition:track_decision": command({
    description: "Records a decision: durable at once in the event log, in git within 250 ms; `wait: commit` answers with the commit.",
    input: z.strictObject({
      pattern,
      decision: z.unknown().refine((value) => value !== undefined && value !== null, "is required"),
      context: z.unknown().optional(),
      options: z.array(z.unknown()).optional().describe("what else could have been decided"),
      outcome: z.unknown().optional(),
      confidence: z.number().min(0).max(1).optional(),
      reason: z.string().optional(),
      agent_id: identifier.optional(),
      run_id: identifier.optional(),
      wait: z.literal("commit").optional(),
    }),
    output: z.object({ id: z.string(), commit: z.string().optional() }),
    async handle({ pattern: name, wait, agent_id, run_id, ...given }, { state, context, caller, meta, signal }) {
      const composition = await state.store.get(parseReference(name));
      if (composition.type !== "orchestration") {
        throw new CodedError(
          "COMPOSITION_NOT_FOUND",
          `${composition.name} is of the type ${composition.type}; a pattern is an orchestration`,
          { name },
        );
      }
      assertRecordable(given);
      // A request that is repeated under its id, such as a step of a run that resumes, is the same decision.
      const { id } = meta;
      const agent = agent_id ?? meta.agent ?? (caller.kind === "agent" ? caller.id : undefined);
      const run = run_id ?? meta.run;
      const entry = { id, time: new Date().toISOString(), ...given, ...(agent && { agent }), ...(run && { run }) };
      const data = { pattern: composition.name, version: fieldsOf(composition).version, ...entry };
      await state.projection.keepPace(signal);
      if (wait === undefined) {
        const { duplicate, seq } = await context.emit(trackedEvent, data, meta, { id });
        if (!duplicate) state.projection.expect(seq);
        return { id };
      }
      using recorded = state.projection.waitFor(id, signal);
      const { duplicate, seq } = await context.emit(trackedEvent, data, meta, { id });
      if (!duplicate) state.projection.expect(seq);
      const known = duplicate ? (await recordsOf(state, id))[0] : undefined;
      return { id, commit: known ?? (await recorded.commit) };
    },
  }),

  "composition:resolve_decision": command({
    description: "Gives a decision that was tracked without an outcome its outcome, once; in git as a later commit.",
    input: z.strictObject({
      id: identifier,
      outcome: z.unknown().refine((value) => value !== undefined && value !== null, "is required"),
      reason: z.string().max(1_000).optional(),
      wait: z.literal("commit").optional(),
    }),
    output: z.object({ id: z.string(), pattern: z.string(), commit: z.string().optional() }),
    async handle({ id, outcome, reason, wait }, { state, context, caller, meta, signal }) {
      assertRecordable({ outcome }, largestOutcome);
      const { pattern: name, version, entry } = await findDecision(state, context, id);
      if (!isPending(entry)) throw resolvedAlready(id);
      const agent = meta.agent ?? (caller.kind === "agent" ? caller.id : undefined);
      const said = { time: new Date().toISOString(), outcome, reason, agent, run: entry.run };
      const data = { pattern: name, version, id, ...JSON.parse(JSON.stringify(said)) };
      using recorded = state.projection.waitFor(outcomeKey(id), signal);
      // One id for each decision: where two resolve it at once, the log keeps the first.
      const { duplicate } = await context.emit(resolvedEvent, data, meta, { id: derivedId(id, "resolved") });
      if (duplicate) throw resolvedAlready(id);
      return { id, pattern: name, ...(wait && { commit: await recorded.commit }) };
    },
  }),

  "composition:decisions": command({
    description:
      "Reads the decisions of a pattern that are in git, newest first. Those on their way there are found by event:query {types: [composition:decision_tracked]}.",
    reads: true,
    input: z.strictObject({
      pattern,
      outcome: z.unknown().optional(),
      run_id: z.string().optional(),
      since: z.iso.datetime({ offset: true }).optional(),
      limit: z.number().int().min(1).max(1_000).default(100),
      cursor: z.string().regex(cursorGrammar, "expected a cursor of an earlier reply").optional(),
    }),
    output: z.object({
      decisions: z.array(decisionEntry),
      cursor: z.string().optional(),
      waiting: z.object({ code: z.string(), message: z.string() }).optional().describe("why newer decisions do not reach git at present"),
      problems: z.array(z.string()).optional().describe("files of decisions that cannot be read, with the reason"),
    }),
    async handle({ pattern: reference, run_id: run, ...filter }, { state: { catalogue, projection } }) {
      const { name } = parseReference(reference);
      await catalogue.refresh();
      if (!catalogue.has(name)) throw new CodedError("COMPOSITION_NOT_FOUND", `There is no composition ${name}`, { name });
      const problems = catalogue.decisions.problems(name);
      const { problem: waiting } = projection;
      return {
        ...catalogue.decisions.find(name, { ...filter, run }),
        ...(waiting && { waiting: { code: waiting.code, message: waiting.message } }),
        ...(problems.length > 0 && { problems }),
      };
    },
  }),
};

/** Bytes: the entries of a full segment grow by their outcomes. */
const largestOutcome = 2 * 1024;

/** @throws CodedError DECISION_NOT_FOUND */
async function findDecision(state: State, { events }: ModuleContext, id: string): Promise<TrackedDecision> {
  const recorded = await inGit(state, id);
  if (recorded) return recorded;
  const tracked = await events.find(id, trackedEvent);
  if (tracked) return trackedBy(tracked);
  throw new CodedError("DECISION_NOT_FOUND", `No decision ${id} was tracked`, { id });
}

async function inGit(state: State, id: string): Promise<TrackedDecision | undefined> {
  await state.catalogue.refresh();
  const [found] = state.catalogue.decisions.byId(id);
  return found && { ...found, version: await versionNow(state, found.pattern) };
}

async function versionNow({ store }: State, pattern: string): Promise<string> {
  const composition = await store.find(pattern);
  return (composition && versionOf(composition)) ?? "deleted";
}

/** The commits that record a decision and its outcome. */
async function recordsOf({ catalogue }: State, id: string): Promise<string[]> {
  await catalogue.refresh();
  return catalogue.history.recordsOf(id);
}

const resolvedAlready = (id: string): CodedError =>
  new CodedError("DECISION_RESOLVED", `The decision ${id} has its outcome already`, { id });
