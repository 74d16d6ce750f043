/** Merging one composition of the repository into another, and committing the result. */
import { CodedError } from "../../daemon/errors.ts";
import type { Call } from "../../daemon/module.ts";
import { commonAncestor } from "./ancestry.ts";
import { write } from "./commands.ts";
import { readComposition } from "./content.ts";
import { valueAt } from "./field-path.ts";
import { invalidRequest, type MergeRequest, merge, nextVersion } from "./merge.ts";
import type { State } from "./state.ts";
import { fieldsOf, parseReference } from "./store.ts";
import { editYaml, reconcile } from "./yaml-edit.ts";

const attempts = 10;

interface MergeInput {
  readonly source: string;
  readonly target: string;
  readonly evidence?: string[] | undefined;
  readonly reason?: string | undefined;
  readonly author?: string | undefined;
}

type Settings = Pick<MergeRequest, "strategy" | "improvements" | "resolutions">;

/**
 * Conflicts are returned, and nothing is written then.
 * @throws CodedError COMPOSITION_UNRELATED, COMPOSITION_INVALID when the result is no valid composition, REQUEST_INVALID
 */
export async function mergeInto(input: MergeInput, settings: Settings, call: Call<State>): ReturnType<typeof mergeOnce> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call.state.turns.take(input.target, call.signal, () => mergeOnce(input, settings, call));
    } catch (error) {
      // The target was changed by another command, or by hand: it is merged with what it is now.
      if (!(error instanceof CodedError && error.code === "COMPOSITION_STALE" && attempt < attempts)) throw error;
    }
  }
}

async function mergeOnce(input: MergeInput, settings: Settings, call: Call<State>) {
  const { context, state, meta } = call;
  const { strategy } = settings;
  const target = await state.catalogue.correct(await state.store.get({ name: input.target }));
  const source = await state.catalogue.correct(await state.store.get(parseReference(input.source)));
  if (source.name === target.name) throw invalidRequest("source", `${source.name} cannot be merged into itself`);
  const base = await commonAncestor(state.store, source, target);
  const [original, ours, theirs] = [base, target, source].map((one) => ({ text: one.file.content, fields: fieldsOf(one) })) as [
    MergeRequest["base"],
    MergeRequest["ours"],
    MergeRequest["theirs"],
  ];
  const merged = merge({ base: original, ours, theirs, ...settings });
  if ("conflicts" in merged) return { status: "conflicts" as const, conflicts: [...merged.conflicts] };
  if (merged.text === reconcile(ours.text, ours.fields)) return { status: "unchanged" as const, version: ours.fields.version };
  const version = nextVersion(ours.fields.version);
  const from = { name: source.name, version: theirs.fields.version, commit: source.commit };
  const label = `${from.name}@${from.version}`;
  const record = {
    source: label,
    commit: source.commit,
    strategy,
    merged_at: new Date().toISOString(),
    ...(input.evidence && { evidence: input.evidence }),
  };
  const merges = valueAt(ours.fields, ["lineage", "merges"]);
  const text = editYaml(merged.text, [
    { path: ["version"], value: version },
    { path: ["lineage", "merges", ...(Array.isArray(merges) ? [merges.length] : [])], value: Array.isArray(merges) ? record : [record] },
  ]);
  readComposition(text, target);
  const trailers = [`Merged-From: ${label} ${source.commit}`, ...(input.evidence ?? []).map((id) => `Evidence: ${id}`)].join("\n");
  const written = await write(call, {
    type: target.type,
    name: target.name,
    file: target.file,
    content: text,
    author: input.author,
    message: [`composition(${target.name}): merge ${label} (${strategy})`, input.reason, trailers].filter(Boolean).join("\n\n"),
  });
  const because = { ...(input.reason && { reason: input.reason }), ...(input.evidence && { evidence: input.evidence }) };
  const about = { name: target.name, type: target.type, version, ...written, source: from, strategy };
  await context.emit("composition:merged", { ...about, ...because }, meta);
  return { status: "merged" as const, commit: written.commit, version };
}
