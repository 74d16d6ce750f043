/** The commands on versions of compositions: render, fork, diff, merge. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { commandsOf } from "../../daemon/module.ts";
import { forkOf, forkRecord, relationshipOf } from "./ancestry.ts";
import { add, author, content, type } from "./commands.ts";
import { hasReservedTrailer } from "./commit-message.ts";
import { compositionName, readComposition } from "./content.ts";
import type { Resolution } from "./data-merge.ts";
import { parsePath } from "./field-path.ts";
import { invalidRequest, mergeStrategies, ownFields } from "./merge.ts";
import { mergeInto } from "./merge-into.ts";
import { render, type Source } from "./render.ts";
import type { State } from "./state.ts";
import { type Composition, fieldsOf, parseReference } from "./store.ts";
import { changesBetween, unifiedDiff } from "./structural-diff.ts";
import { editYaml, type FieldEdit } from "./yaml-edit.ts";

const command = commandsOf<State>();

const reference = z.string().min(1).max(200).describe("name, name@version or name@commit");
const path = z.string().min(1).max(1_000).describe("path of a field, such as a.b[2].c");
const reason = z
  .string()
  .trim()
  .min(1)
  .max(2_000)
  .refine((text) => !hasReservedTrailer(text), "must not hold a trailer of the daemon");
const evidence = z.array(z.string().regex(/^[\x21-\x7e]{1,200}$/, "expected an id of a run or a decision")).max(100);
const side = z.unknown().optional();
const isShort = (map: object) => Object.keys(map).length <= 100;
const conflict = z.object({ path: z.string(), base: side, ours: side, theirs: side });
const resolution = z.union([z.enum(["ours", "theirs"]), z.strictObject({ value: z.unknown() })]);
const origin = z.object({ name: z.string(), version: z.string(), commit: z.string() });

/** Events of these commands. */
export const versionEvents = {
  "composition:forked": {
    description: "A composition was made from another one.",
    schema: origin.extend({ type, author: z.string(), reason: z.string(), parent: origin }),
  },
  "composition:merged": {
    description: "A composition took over what another one had changed.",
    schema: origin.extend({
      type,
      author: z.string(),
      reason: z.string().optional(),
      source: origin,
      strategy: z.enum(mergeStrategies),
      evidence: evidence.optional(),
    }),
  },
};

export const versionCommands = {
  "composition:render": command({
    description: "Puts together what a composition extends, its mixins, components and variables, as a run or an agent gets it.",
    reads: true,
    input: z.strictObject({
      name: reference.optional(),
      content: content.optional(),
      commit: z
        .string()
        .regex(/^[0-9a-f]{40}$/)
        .optional(),
      variables: z.record(z.string(), z.unknown()).optional().describe("instead of the composition's own"),
      unresolved: z.enum(["error", "keep"]).default("error").describe("what becomes of {{name}} without value and default"),
    }),
    output: z.object({
      name: z.string(),
      type,
      version: z.string(),
      commit: z.string().optional().describe("absent for a text that was given"),
      content,
      data: z.record(z.string(), z.unknown()),
      sources: z.array(z.string()).describe("what it was made of, as name@version"),
    }),
    async handle(input, { state, context }) {
      if ((input.name === undefined) === (input.content === undefined)) throw invalidRequest("name", "give either `name` or `content`");
      const found = input.name === undefined ? undefined : await state.store.get({ ...parseReference(input.name), ...pick(input) });
      const root = found ? sourceOf(found) : { text: input.content as string, fields: readComposition(input.content as string) };
      const commit = found?.commit ?? (await context.repository.head());
      const load = async (name: string) => sourceOf(await findAt(state, name, commit));
      const { name, type: ofType, version } = root.fields;
      const options = { variables: input.variables, isStrict: input.unresolved === "error" };
      const rendered = await render(root, (name) => ignoreAbsence(load(name)), options);
      return { name, type: ofType, version, ...(found && { commit: found.commit }), ...rendered, sources: [...rendered.sources] };
    },
  }),

  "composition:fork": command({
    description: "Makes a composition from another one: a full copy with a name of its own, and the changes given by path.",
    input: z.strictObject({
      parent: reference,
      name: compositionName,
      reason,
      modifications: z.record(path, z.unknown()).refine(isShort, "at most 100").optional().describe("path → value; null removes the field"),
      author,
    }),
    output: z.object({ name: z.string(), version: z.string(), commit: z.string(), lineage: forkRecord }),
    async handle(input, call) {
      const { state, context, meta } = call;
      const parent = await state.catalogue.correct(await state.store.get(parseReference(input.parent)));
      const parentFields = fieldsOf(parent);
      const lineage = {
        parent: `${parent.name}@${parentFields.version}`,
        commit: parent.commit,
        reason: input.reason,
        forked_at: new Date().toISOString(),
        generation: (forkOf(parent)?.generation ?? 0) + 1,
      };
      const forked = editYaml(parent.file.content, [
        { path: ["name"], value: input.name },
        { path: ["version"], value: "1.0.0" },
        { path: ["performance"], value: undefined },
        { path: ["lineage"], value: lineage },
        ...Object.entries(input.modifications ?? {}).map(modification),
      ]);
      const { version } = readComposition(forked, { name: input.name, type: parent.type });
      const trailer = `Forked-From: ${lineage.parent} ${parent.commit}`;
      const written = await add(call, {
        ...input,
        type: parent.type,
        content: forked,
        message: `composition(${input.name}): fork ${lineage.parent}\n\n${input.reason}\n\n${trailer}`,
      });
      const origin = { name: parent.name, version: parentFields.version, commit: parent.commit };
      const about = { name: input.name, type: parent.type, version, ...written };
      await context.emit("composition:forked", { ...about, reason: input.reason, parent: origin }, meta);
      return { name: input.name, version, commit: written.commit, lineage };
    },
  }),

  "composition:diff": command({
    description: "What differs between two compositions, by path and inside texts by statement, and how they are related.",
    reads: true,
    input: z.strictObject({ left: reference, right: reference.describe("as `left`; a commit alone is that of the other one's name") }),
    output: z.object({
      relationship: z.enum(["same", "ancestor", "descendant", "siblings", "unrelated"]).describe("what the left one is to the right one"),
      changes: z.array(
        z.object({
          path: z.string(),
          kind: z.enum(["added", "removed", "changed"]),
          left: z.unknown().optional(),
          right: z.unknown().optional(),
        }),
      ),
      text: z.string().describe("unified diff"),
    }),
    async handle(input, { state, context }) {
      const [left, right] = await Promise.all([
        state.store.get(withName(input.left, input.right)),
        state.store.get(withName(input.right, input.left)),
      ]);
      const kin = await Promise.all([state.catalogue.correct(left), state.catalogue.correct(right)]);
      return {
        relationship: await relationshipOf(state.store, context.repository, ...kin),
        changes: [...changesBetween(fieldsOf(left), fieldsOf(right))],
        text: unifiedDiff(
          { label: `${left.file.path}@${fieldsOf(left).version}`, text: left.file.content },
          { label: `${right.file.path}@${fieldsOf(right).version}`, text: right.file.content },
        ),
      };
    },
  }),

  "composition:merge": command({
    description: "Takes over into `target` what `source` changed since both were the same; conflicts come back and nothing is written.",
    input: z.strictObject({
      source: reference,
      target: compositionName,
      strategy: z.enum(mergeStrategies),
      improvements: z.array(path).max(200).optional().describe("what a selective merge takes"),
      resolutions: z
        .record(path, resolution)
        .refine(isShort, "at most 100")
        .optional()
        .describe("path of a conflict → which side, or a value"),
      evidence: evidence.optional().describe("ids of runs or decisions that speak for it"),
      reason: reason.optional(),
      author,
    }),
    output: z.object({
      status: z.enum(["merged", "conflicts", "unchanged"]),
      commit: z.string().optional(),
      version: z.string().optional(),
      conflicts: z.array(conflict).optional().describe("a side that has nothing at the path is absent"),
    }),
    async handle(input, call) {
      if ((input.improvements !== undefined) !== (input.strategy === "selective")) {
        throw invalidRequest("improvements", "`improvements` belong to the strategy selective, which needs them");
      }
      const settings = {
        strategy: input.strategy,
        improvements: (input.improvements ?? []).map(parsePath),
        resolutions: Object.entries(input.resolutions ?? {}).map(([at, choice]): Resolution => ({ path: parsePath(at), choice })),
      };
      return mergeInto(input, settings, call);
    },
  }),
};

const refusedInFork = ownFields.filter((field) => field !== "version");

function modification([text, value]: [string, unknown]): FieldEdit {
  const at = parsePath(text);
  if (refusedInFork.includes(String(at[0])))
    throw invalidRequest("modifications", `${at[0]} is written by the daemon and cannot be modified`);
  return { path: at, value: value ?? undefined };
}

const pick = ({ commit }: { commit?: string | undefined }) => (commit === undefined ? {} : { commit });

const sourceOf = (found: Composition): Source => ({ file: found.file.path, text: found.file.content, fields: fieldsOf(found) });

/** At the commit of what names it, unless it names a version or a commit. */
function findAt(state: State, name: string, commit: string | undefined): Promise<Composition> {
  const named = parseReference(name);
  return state.store.get(named.version || named.commit || !commit ? named : { ...named, commit });
}

async function ignoreAbsence<Value>(found: Promise<Value>): Promise<Value | undefined> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof CodedError && error.code === "COMPOSITION_NOT_FOUND") return undefined;
    throw error;
  }
}

function withName(text: string, other: string) {
  const isCommit = (one: string) => /^[0-9a-f]{40}$/.test(one);
  if (!isCommit(text)) return parseReference(text);
  if (isCommit(other)) throw invalidRequest("left", "a commit alone needs a name on the other side");
  return { name: parseReference(other).name, commit: text };
}
