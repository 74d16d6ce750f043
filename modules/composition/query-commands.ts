/** Finding compositions: list, discover, select, lineage, history. All are answered from the catalogue. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { commandsOf } from "../../daemon/module.ts";
import type { Entry } from "./catalogue/catalogue.ts";
import { performanceFields } from "./catalogue/performance.ts";
import { issue, type } from "./commands.ts";
import { compositionName, compositionTypes } from "./content.ts";
import { Family, family, originOf } from "./family.ts";
import { filterFields, meets } from "./filter.ts";
import { select, selection, selectRequest } from "./select.ts";
import type { State } from "./state.ts";

const command = commandsOf<State>();

const summary = z.object({
  name: z.string(),
  type,
  valid: z.boolean().describe("nothing is wrong; what has a `version` can be used all the same"),
  version: z.string().optional(),
  description: z.string().optional(),
  tags: z.array(z.string()).optional(),
  issues: z.array(issue).optional(),
  performance: performanceFields.optional(),
});

export const queryCommands = {
  "composition:list": command({
    description: "Lists the compositions at HEAD; an invalid file is listed with what is wrong in it.",
    reads: true,
    input: z.strictObject({
      type: type.optional(),
      invalid: z.boolean().optional().describe("only those that are, or only those that are not"),
      limit: z.number().int().min(1).max(1_000).default(1_000),
      cursor: z.string().max(200).optional().describe("of an earlier reply"),
    }),
    output: z.object({ compositions: z.array(summary), cursor: z.string().optional().describe("there are more") }),
    async handle({ type: wanted, invalid, limit, cursor = "" }, { state }) {
      await state.catalogue.refresh();
      const isWanted = ({ type: ofType, issues, path }: Entry) =>
        (wanted === undefined || ofType === wanted) && (invalid === undefined || (issues !== undefined) === invalid) && path > cursor;
      const found = state.catalogue.entries().filter(isWanted).sort(byPlace);
      const page = found.slice(0, limit);
      return {
        compositions: page.map((entry) => summarise(entry, state)),
        ...(found.length > limit && { cursor: page.at(-1)?.path }),
      };
    },
  }),

  "composition:discover": command({
    description: "Finds readable compositions that meet every filter; with `query` those whose text fits it, best first.",
    reads: true,
    input: z.strictObject({
      ...filterFields,
      query: z.string().max(1_000).optional().describe("words; any of them may fit, the rarer the better"),
      limit: z.number().int().min(1).max(500).default(50),
    }),
    output: z.object({
      compositions: z.array(summary.extend({ rank: z.number().optional().describe("of the text; higher is better") })),
      total: z.number().describe("how many there are beyond the limit too"),
    }),
    async handle({ query, limit, ...filter }, { state }) {
      await state.catalogue.refresh();
      const ranks = query === undefined ? undefined : state.catalogue.search(query);
      const found = state.catalogue
        .entries()
        .filter(
          ({ path, fields }) =>
            fields && (!ranks || ranks.has(path)) && meets({ ...fields, performance: performanceOf({ fields }, state) }, filter),
        )
        .sort((left, right) => (ranks?.get(right.path) ?? 0) - (ranks?.get(left.path) ?? 0) || byPlace(left, right));
      const compositions = found
        .slice(0, limit)
        .map((entry) => ({ ...summarise(entry, state), ...(ranks && { rank: ranks.get(entry.path) }) }));
      return { compositions, total: found.length };
    },
  }),

  "composition:select": command({
    description: "Chooses the pattern for a task: those that meet every requirement, among them by the serving policy.",
    input: selectRequest,
    output: selection,
    handle: select,
  }),

  "composition:lineage": command({
    description: "The family of a composition: its ancestors, its forks and theirs, with versions, reasons and measured performance.",
    reads: true,
    input: z.strictObject({ name: compositionName }),
    output: family,
    async handle({ name }, { state }) {
      await state.catalogue.refresh();
      const found = await new Family(state.catalogue, state.store).of(name);
      if (!found) throw neverThere(name);
      return found;
    },
  }),

  "composition:history": command({
    description: "The commits that changed a composition, newest first, also of one that was deleted.",
    reads: true,
    input: z.strictObject({
      name: compositionName,
      type: type.optional().describe("where the name was used in several"),
      limit: z.number().int().min(1).max(1_000).default(100),
      cursor: z
        .string()
        .regex(/^\d{1,12}$/, "expected a cursor of an earlier reply")
        .optional(),
    }),
    output: z.object({
      commits: z.array(
        z.object({
          commit: z.string(),
          type,
          version: z.string().optional().describe("absent where the text is invalid"),
          removed: z.literal(true).optional(),
          author: z.object({ name: z.string(), email: z.string() }),
          time: z.string(),
          message: z.string(),
        }),
      ),
      cursor: z.string().optional(),
    }),
    async handle({ name, type: wanted, limit, cursor }, { state }) {
      await state.catalogue.refresh();
      const types = wanted ? [wanted] : compositionTypes;
      const changes = types
        .flatMap((each) =>
          state.catalogue.history
            .of(`${each}s/${name}.yaml`, limit + 1, cursor === undefined ? undefined : Number(cursor))
            .map((change) => ({ ...change, type: each })),
        )
        .sort((left, right) => right.sequence - left.sequence);
      if (changes.length === 0 && cursor === undefined) throw neverThere(name);
      const page = changes.slice(0, limit);
      const commits = page.map(({ author: { time, ...author }, sequence: _, ...change }) => ({ ...change, author, time }));
      return { commits, ...(changes.length > limit && { cursor: String(page.at(-1)?.sequence) }) };
    },
  }),
};

function summarise(entry: Entry, state: State) {
  const { name, type: ofType, fields, issues } = entry;
  const performance = performanceOf(entry, state);
  return {
    name,
    type: ofType,
    valid: issues === undefined,
    version: fields?.version,
    description: fields?.description,
    tags: fields?.tags,
    ...(issues && { issues: [...issues] }),
    ...(performance && { performance }),
  };
}

const performanceOf = ({ fields }: Pick<Entry, "fields">, { catalogue }: State) =>
  fields && catalogue.performance.of(fields.name, originOf(fields)?.parent.name);

const neverThere = (name: string): CodedError => new CodedError("COMPOSITION_NOT_FOUND", `There never was a composition ${name}`, { name });

const byPlace = (left: Entry, right: Entry): number => (left.path < right.path ? -1 : 1);
