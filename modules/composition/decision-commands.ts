/** The commands on the decisions of a pattern: track one, read them back. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { commandsOf } from "../../daemon/module.ts";
import { cursorGrammar } from "./catalogue/decision-rows.ts";
import { assertRecordable, decisionEntry } from "./entries.ts";
import { trackedEvent } from "./projection.ts";
import type { State } from "./state.ts";
import { fieldsOf, parseReference } from "./store.ts";

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
        throw new CodedError("COMPOSITION_NOT_FOUND", `${composition.name} is a ${composition.type}, not a pattern`, { name });
      }
      assertRecordable(given);
      // A request that is repeated under its id, such as a step of a run that resumes, is the same decision.
      const { id } = meta;
      const agent = agent_id ?? meta.agent ?? (caller.kind === "agent" ? caller.id : undefined);
      const run = run_id ?? meta.run;
      const entry = { id, time: new Date().toISOString(), ...given, ...(agent && { agent }), ...(run && { run }) };
      const data = { pattern: composition.name, version: fieldsOf(composition).version, ...entry };
      if (wait === undefined) {
        await context.emit(trackedEvent, data, meta, { id });
        return { id };
      }
      using recorded = state.projection.waitFor(id, signal);
      const { duplicate } = await context.emit(trackedEvent, data, meta, { id });
      const known = duplicate ? await state.projection.commitOf(id) : undefined;
      return { id, commit: known ?? (await recorded.commit) };
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
    }),
    async handle({ pattern: name, run_id: run, ...filter }, { state }) {
      const composition = await state.store.get({ name: parseReference(name).name });
      await state.catalogue.refresh();
      const page = state.catalogue.decisions.find(composition.name, { ...filter, run });
      const { problem } = state.projection;
      return problem ? { ...page, waiting: { code: problem.code, message: problem.message } } : page;
    },
  }),
};
