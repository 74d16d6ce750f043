/** What was learned about a composition: an insight beside it, with its evidence. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { type Call, commandsOf } from "../../daemon/module.ts";
import { author, type, write } from "./commands.ts";
import { compositionName } from "./content.ts";
import type { State } from "./state.ts";
import { fieldsOf } from "./store.ts";
import { editYaml } from "./yaml-edit.ts";

const command = commandsOf<State>();

export const learnedEvent = "composition:learned";
/** Each takes in what another command committed meanwhile. */
const mostAttempts = 10;

const learning = z.strictObject({
  insight: z.string().trim().min(1).max(2_000),
  confidence: z.number().min(0).max(1).optional(),
  evidence: z
    .array(z.string().regex(/^[\x21-\x7e]{1,200}$/, "expected an id of a run or a decision"))
    .max(100)
    .optional(),
});

export const learned = learning.extend({ name: z.string(), type, version: z.string(), commit: z.string(), author: z.string() });

export const learnCommands = {
  "composition:learn": command({
    description: "Adds an insight to the `learnings` of a pattern; all else in its text keeps its bytes.",
    input: learning.extend({ pattern: compositionName, author }),
    output: z.object({
      name: z.string(),
      version: z.string(),
      commit: z.string(),
      learnings: z.number().describe("how many there are now"),
    }),
    async handle({ pattern: name, author: by, ...given }, call) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await call.state.turns.take(name, call.signal, () => learnOnce(name, given, by, call));
        } catch (error) {
          if (!(error instanceof CodedError) || error.code !== "COMPOSITION_STALE" || attempt === mostAttempts) throw error;
        }
      }
    },
  }),
};

async function learnOnce(name: string, given: z.output<typeof learning>, by: string | undefined, call: Call<State>) {
  const current = await call.state.store.get({ name });
  const { version, learnings = [] } = fieldsOf(current);
  const entry = { ...given, time: new Date().toISOString() };
  const edit = learnings.length > 0 ? { path: ["learnings", learnings.length], value: entry } : { path: ["learnings"], value: [entry] };
  const message = `composition(${name}): learn\n\n${given.insight.replaceAll(/^(?=[\w-]+\s*:)/gm, "- ")}`;
  const written = await write(call, { ...current, author: by, message, content: editYaml(current.file.content, [edit]) });
  await call.context.emit(learnedEvent, { ...given, name, type: current.type, version, ...written }, call.meta);
  return { name, version, commit: written.commit, learnings: learnings.length + 1 };
}
