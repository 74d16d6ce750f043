/** `policy:select`: one choice, drawn from the odds that the answering policy gives, and logged with them. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { Call, Caller, MessageMeta } from "../../daemon/module.ts";
import { retry } from "../../daemon/retry.ts";
import { draw } from "./chance.ts";
import { encode } from "./features/encode.ts";
import { textsOf } from "./features/texts.ts";
import { questionOf } from "./ledger.ts";
import { rewardDefinition } from "./reward.ts";
import {
  type Choice,
  candidate,
  choice,
  contextFeatures,
  episode,
  type OutcomeSource,
  outcomeSource,
  type Selected,
  slotName,
} from "./schema.ts";
import { ownerOf, type State } from "./state.ts";

export const selectRequest = z.strictObject({
  slot: slotName,
  context: contextFeatures.default({}),
  candidates: z
    .array(candidate)
    .min(1)
    .max(256)
    .refine((candidates) => new Set(candidates.map(({ id }) => id)).size === candidates.length, "ids must be unique"),
  policy: z
    .string()
    .max(64)
    .optional()
    .describe("default: the one that serves the slot; by name, one that needs no proof or serves already"),
  explore: z.number().min(0).max(1).default(0).describe("share of the odds that is spread evenly over the candidates"),
  outcome_from: outcomeSource.optional().describe("what tells the outcome, if nobody gives it"),
  reward: rewardDefinition.optional().describe("what its outcome is worth; default: as the slot is configured"),
  episode: episode.optional().describe("for choices that follow one another towards one end"),
  on_behalf_of: z
    .strictObject({ kind: z.enum(["client", "agent", "module"]), id: z.string(), isClaimed: z.literal(true).optional() })
    .optional()
    .describe("whose the selection is; a module alone may say so"),
});
type SelectRequest = z.output<typeof selectRequest>;

/** `<module>/…` is a slot of this module: what others choose there would be taken for what it gave out. */
const reserving = ["experiment"];

/** A choice, and the position of its event in the log. */
export interface Selecting {
  readonly made: Choice;
  readonly seq: number;
}

/** A request with an id that was answered before, of the same owner to the same question, gets the same answer. */
export async function select(request: SelectRequest, call: Call<State>): Promise<Choice> {
  const { state, context: daemon, meta, caller } = call;
  const { slot, candidates } = request;
  assertAllowed(request, caller);
  assertTold(request.outcome_from, meta);
  await state.ledger.caughtUp();
  const asked = { slot, context: request.context, candidates, by: ownerOf(request.on_behalf_of ?? caller) };
  const answered = state.ledger.answered(meta.id, asked);
  if (answered !== undefined) return choice.parse(answered);
  const key = `${meta.id} ${questionOf(asked)}`;
  const underWay = state.selecting.get(key);
  if (underWay !== undefined) return (await underWay).made;
  const selecting = choose(request, call);
  state.selecting.set(key, selecting);
  selecting
    .then(({ seq }) => state.ledger.passed(seq, daemon.signal))
    .catch(() => undefined)
    .finally(() => state.selecting.delete(key));
  return (await selecting).made;
}

async function choose(request: SelectRequest, { state, context: daemon, meta, caller, signal }: Call<State>): Promise<Selecting> {
  const { slot, context, candidates, explore, outcome_from: asked, reward, episode: part, on_behalf_of: owner = caller } = request;
  const { policy, spec, label, assigned, comparison } = await state.serving.answering(slot, request.policy, part?.id);
  const embeddings = spec.text && (await state.embedder.vectorsOf(textsOf(spec, context, candidates), spec.text, meta));
  const odds = policy.odds(encode(spec, context, candidates, embeddings));
  const probabilities = odds.probabilities.map((probability) => (1 - explore) * probability + explore / candidates.length);
  const index = draw(probabilities, state.random());
  const made: Choice = {
    decision_id: daemon.newId(),
    choice: candidates[index]?.id ?? "",
    probability: probabilities[index] ?? 0,
    scores: Object.fromEntries(candidates.map(({ id }, position) => [id, odds.scores[position] ?? 0])),
    reason: odds.reason(index),
    policy: policy.name,
    version: policy.version,
  };
  const usual = state.slots.of(slot).outcome_from;
  const outcome_from = asked ?? (usual && { event: usual });
  const event: Selected = {
    ...made,
    request: meta.id,
    slot,
    context,
    candidates,
    feature_spec: spec.version,
    ...(embeddings && { embeddings }),
    deployment: label,
    assigned,
    ...(comparison && { comparison }),
    by: ownerOf(owner),
    ...(outcome_from && { outcome_from }),
    ...(reward && { reward }),
    ...(part && { episode: part }),
  };
  const { seq } = await store(() => daemon.emit("policy:selected", event, meta, { id: made.decision_id }), signal);
  state.ledger.wrote(seq);
  return { made, seq };
}

/**
 * An event of which nobody knows whether it is stored is emitted until somebody does: whoever repeats the request meanwhile waits
 * for it too, rather than to be given another choice beside one that may be in the log.
 */
async function store<Stored>(emit: () => Promise<Stored>, signal: AbortSignal): Promise<Stored> {
  try {
    return await emit();
  } catch (error) {
    if (!(error instanceof CodedError && error.code === "EVENT_OUTCOME_UNKNOWN")) throw error;
    return retry(emit, { signal });
  }
}

/** @throws CodedError SLOT_RESERVED, CAPABILITY_DENIED */
function assertAllowed({ slot, on_behalf_of }: SelectRequest, { kind, id }: Caller): void {
  const owner = reserving.find((module) => slot.startsWith(`${module}/`));
  if (owner !== undefined && !(kind === "module" && id === owner)) {
    throw new CodedError("SLOT_RESERVED", `The slot ${slot} belongs to the module ${owner}, which alone chooses there.`, { slot, owner });
  }
  if (on_behalf_of !== undefined && kind !== "module") {
    throw new CodedError("REQUEST_INVALID", "policy:select: on_behalf_of: modules alone choose on behalf of others");
  }
}

/** What nothing can tell is refused, rather than waited for. @throws CodedError REQUEST_INVALID */
function assertTold(source: OutcomeSource | undefined, { run }: MessageMeta): void {
  if (source === undefined || source.id !== undefined || (source.event !== "approval" && run !== undefined)) return;
  const message = `policy:select: outcome_from.id: needed, since no run asks; or name the ${source.event} afterwards with policy:link`;
  throw new CodedError("REQUEST_INVALID", source.event === "approval" ? message.replace(", since no run asks", "") : message);
}
