/** The commands on compositions as such: get, create, save, delete, validate. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { type Call, commandsOf, type RepositoryFile } from "../../daemon/module.ts";
import { invalidYaml } from "../../daemon/yaml.ts";
import { performanceFields } from "./catalogue/performance.ts";
import { hasReservedTrailer } from "./commit-message.ts";
import { type CompositionFields, compositionName, compositionTypes, readComposition } from "./content.ts";
import { differsInDerived, findEdits, type KnownLineage, noLineage } from "./derived-fields.ts";
import { originOf } from "./family.ts";
import type { State } from "./state.ts";
import { type Composition, fieldsOf, parseAuthor, parseReference, pathOf } from "./store.ts";

const command = commandsOf<State>();

export const type = z.enum(compositionTypes);
const commit = z.string().regex(/^[0-9a-f]{40}$/, "expected the full id of a commit");
export const content = z.string().describe("YAML text");
export const author = z.string().min(1).max(200).optional().describe("Name <email>, or a name alone");
const message = z
  .string()
  .min(1)
  .max(10_000)
  .refine(
    (text) => !hasReservedTrailer(text),
    "the trailers Event, Decision-Id, Run, Agent, Pattern, Forked-From, Merged-From and Evidence are the daemon's",
  )
  .optional()
  .describe("message of the commit");
export const issue = z.object({ message: z.string(), line: z.number(), column: z.number(), path: z.string().optional() });
type Issue = z.output<typeof issue>;

export const compositionCommands = {
  "composition:get": command({
    description: "Reads a composition: the newest, the newest commit of a version (name@1.0.0), or at a commit (name@<commit>).",
    reads: true,
    input: z.strictObject({ name: z.string().min(1).max(200), version: z.string().max(100).optional(), commit: commit.optional() }),
    output: z.object({
      name: z.string(),
      type,
      version: z.string().optional().describe("absent if the text is invalid"),
      commit: z.string().describe("the commit it was read at: `based_on` of a save"),
      content,
      data: z.record(z.string(), z.unknown()).optional().describe("the text as JSON; absent if the text is invalid"),
      issues: z.array(issue).optional(),
      performance: performanceFields.optional().describe("of its runs, whatever their version; absent before the first has ended"),
    }),
    async handle({ name, ...at }, { state }) {
      const found = await state.store.get({ ...parseReference(name), ...at });
      const place = { name: found.name, type: found.type, commit: found.commit, content: found.file.content };
      if (found.fields instanceof CodedError) return { ...place, issues: issuesOf(found.fields) };
      const fields = state.catalogue.entryOf(found)?.fields ?? found.fields;
      const performance = state.catalogue.performance.of(found.name, originOf(fields)?.parent.name);
      return { ...place, version: found.fields.version, data: found.fields, ...(performance && { performance }) };
    },
  }),

  "composition:validate": command({
    description: "Checks a YAML text, or the composition of a name, and says what is wrong with line and column, derived fields included.",
    reads: true,
    input: z.strictObject({ content: content.optional(), name: z.string().max(200).optional(), type: type.optional() }),
    output: z.object({ valid: z.boolean(), issues: z.array(issue) }),
    async handle({ content: given, name, type: expectedType }, { state }) {
      if (given === undefined && name === undefined) throw invalidRequest("give `content`, or the `name` of a composition");
      try {
        const issues =
          given === undefined
            ? await editsOfFile(await state.store.get(parseReference(name as string)), state)
            : await editsOfText(given, readComposition(given, { name, type: expectedType }), state);
        return { valid: issues.length === 0, issues };
      } catch (error) {
        if (error instanceof CodedError && error.code === "COMPOSITION_INVALID") return { valid: false, issues: issuesOf(error) };
        throw error;
      }
    },
  }),

  "composition:create": command({
    description: "Adds a new composition. The name must not exist yet, in any type.",
    input: z.strictObject({ type, name: compositionName, content, author, message }),
    output: z.object({ name: z.string(), type, version: z.string(), commit: z.string() }),
    async handle(input, call) {
      const fields = readComposition(input.content, input);
      assertUnedited(fields, input.content, noLineage);
      const text = input.message ?? `composition(${input.name}): create ${fields.version}`;
      const written = await add(call, { ...input, message: text });
      await announce(call, "composition:created", input.type, fields, written);
      return { name: input.name, type: input.type, version: fields.version, commit: written.commit };
    },
  }),

  "composition:save": command({
    description: "Replaces the text of a composition that was read at `based_on`; refuses it if the file changed since.",
    input: z.strictObject({ name: compositionName, content, based_on: commit, author, message }),
    output: z.object({ name: z.string(), version: z.string(), commit: z.string() }),
    async handle(input, call) {
      const current = await call.state.store.get({ name: input.name });
      const base = await call.state.store.get({ name: input.name, commit: input.based_on });
      if (base.file.blob !== current.file.blob) throw stale(`${input.name} changed since ${input.based_on}`, current.file);
      if (input.content === current.file.content) throw invalidRequest(`the content of ${input.name} is unchanged`);
      const fields = readComposition(input.content, current);
      const before = current.fields instanceof CodedError ? undefined : current.fields;
      if (differsInDerived(before, fields)) {
        await call.state.catalogue.refresh();
        assertUnedited(fields, input.content, call.state.catalogue.history.lineagesAt(current.file.path));
      }
      const text = input.message ?? `composition(${input.name}): save ${fields.version}`;
      const written = await write(call, { ...input, type: current.type, file: current.file, message: text });
      await announce(call, "composition:saved", current.type, fields, written);
      return { name: input.name, version: fields.version, commit: written.commit };
    },
  }),

  "composition:delete": command({
    description: "Removes a composition; its history and its decisions stay.",
    input: z.strictObject({ name: compositionName, based_on: commit.optional(), author, message }),
    output: z.object({ name: z.string(), commit: z.string() }),
    async handle(input, call) {
      const current = await call.state.store.get({ name: input.name });
      const base = input.based_on ? await call.state.store.get({ name: input.name, commit: input.based_on }) : current;
      if (base.file.blob !== current.file.blob) throw stale(`${input.name} changed since ${input.based_on}`, current.file);
      const text = input.message ?? `composition(${input.name}): delete`;
      const written = await write(call, { ...input, type: current.type, file: current.file, content: null, message: text });
      await call.context.emit("composition:deleted", { name: input.name, type: current.type, ...written }, call.meta);
      return { name: input.name, commit: written.commit };
    },
  }),
};

async function editsOfFile(found: Composition, { catalogue }: State): Promise<Issue[]> {
  const { path, content: text, blob } = found.file;
  await catalogue.refresh();
  return findEdits(fieldsOf(found), text, catalogue.history.lineagesOf(path, blob));
}

/** A text of a name that no file has may have any lineage: it may be on its way here from another repository. */
async function editsOfText(text: string, fields: CompositionFields, { catalogue }: State): Promise<Issue[]> {
  await catalogue.refresh();
  return findEdits(fields, text, catalogue.history.lineagesAt(pathOf(fields.type, fields.name)));
}

/** @throws CodedError COMPOSITION_INVALID */
function assertUnedited(fields: CompositionFields, text: string, known: readonly KnownLineage[]): void {
  const edits = findEdits(fields, text, known);
  if (edits.length > 0) throw invalidYaml(edits);
}

interface Change {
  readonly type: Composition["type"];
  readonly name: string;
  /** What it is based on; null = must not exist. */
  readonly file: RepositoryFile | null;
  readonly content: string | null;
  readonly message: string;
  readonly author?: string | undefined;
}

export async function write({ context, caller }: Call<State>, change: Change): Promise<{ commit: string; author: string }> {
  const path = pathOf(change.type, change.name);
  const person = parseAuthor(change.author) ?? (caller.kind === "agent" ? parseAuthor(caller.id) : undefined);
  const info = await context.repository.commit({
    message: change.message,
    ...(person && { author: person }),
    files: { [path]: change.content },
    expected: { [path]: change.file?.blob ?? null },
  });
  return { commit: info.commit, author: info.author.name };
}

/** Writes the file of a name that is free, in any type. @throws CodedError COMPOSITION_EXISTS */
export function add(call: Call<State>, { name, ...change }: Omit<Change, "file">): ReturnType<typeof write> {
  const { store, turns } = call.state;
  const assertFree = async () => {
    const existing = await store.find(name);
    if (existing)
      throw new CodedError("COMPOSITION_EXISTS", `${existing.file.path} has this name already (type ${existing.type})`, {
        path: existing.file.path,
      });
  };
  return turns.take(name, call.signal, async () => {
    await assertFree();
    try {
      return await write(call, { name, ...change, file: null });
    } catch (error) {
      await assertFree(); // it may have been committed by hand meanwhile
      throw error;
    }
  });
}

function announce({ context, meta }: Call<State>, event: string, ofType: string, { name, version }: CompositionFields, written: object) {
  return context.emit(event, { name, type: ofType, version, ...written }, meta);
}

const issuesOf = (error: CodedError): Issue[] => error.details.issues as Issue[];

const invalidRequest = (text: string): CodedError => new CodedError("REQUEST_INVALID", text, { issues: [{ message: text, path: [] }] });

const stale = (text: string, file: RepositoryFile): CodedError =>
  new CodedError("COMPOSITION_STALE", text, { path: file.path, blob: file.blob });
