/** Asks a model at a run's expense: what it may take at most is set aside before, what it took is paid after. */
import { CodedError } from "../../daemon/errors.ts";
import type { MessageMeta, ModuleContext } from "../../daemon/module.ts";
import { nothing, type Purse, type Spend } from "./account.ts";
import { spendIn } from "./spent.ts";

/** The request of `model:generate`, as far as it matters here. */
export interface ModelRequest {
  readonly model: string;
  readonly [field: string]: unknown;
}

/** An entry of `model:list`, as far as it is used here. */
export interface ListedModel {
  readonly name: string;
  readonly max_tokens: number;
  readonly price?: { readonly input: number; readonly output: number };
  readonly needs?: string;
  readonly fallbacks: readonly string[];
}

/** Fewer letters per token than any usual text has, so that an estimate by it is rather too high. */
const lettersPerToken = 3;

/** @throws CodedError of `model:generate`, RUN_LIMIT_EXCEEDED; the signal's reason */
export async function askModel<Reply>(
  context: ModuleContext,
  request: ModelRequest,
  purse: Purse,
  { cause, signal }: { readonly cause: Partial<MessageMeta>; readonly signal: AbortSignal },
): Promise<Reply> {
  const release = await purse.reserve(await most(context, request), signal);
  let spent = nothing;
  try {
    const reply = await context.call<Reply>("model:generate", request, { cause, signal });
    spent = spendIn(reply);
    return reply;
  } catch (error) {
    // An answer of no use was paid for, too.
    if (error instanceof CodedError && error.code === "MODEL_ANSWER_INVALID") spent = spendIn(error.details);
    throw error;
  } finally {
    release(spent);
  }
}

/** The dearest of the model and its fallbacks: nobody knows before which one will answer. */
async function most(context: ModuleContext, request: ModelRequest): Promise<Spend> {
  const { models } = await context.call<{ models: ListedModel[] }>("model:list", {});
  const first = models.find(({ name }) => name === request.model);
  const candidates = models.filter(({ name }) => name === request.model || first?.fallbacks.includes(name));
  const input = JSON.stringify(request).length / lettersPerToken;
  const costs = candidates.map(({ price, max_tokens }) => (price ? (input * price.input + max_tokens * price.output) / 1e6 : 0));
  const output = Math.max(0, ...candidates.map(({ max_tokens }) => max_tokens));
  return { tokens: Math.ceil(input + output), cost: Math.max(0, ...costs) };
}
