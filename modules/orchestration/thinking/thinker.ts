/** Asks the model of a run, and pays for it from the run's account. */
import { CodedError } from "../../../daemon/errors.ts";
import type { ModuleContext } from "../../../daemon/module.ts";
import { nothing, type Purse, type Spend } from "../account.ts";
import { causeOf, type StartedEntry } from "../record.ts";
import { spendIn } from "../spent.ts";

/** A turn of the conversation, as `model:generate` takes it. */
export type Message =
  | { readonly role: "user"; readonly content: string }
  | { readonly role: "assistant"; readonly content: string; readonly tool_calls: readonly ToolCall[]; readonly continuation: unknown }
  | { readonly role: "tool"; readonly tool_call_id: string; readonly name: string; readonly content: string };

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: unknown;
  readonly invalid?: string;
}

export interface Request {
  readonly system: string;
  readonly messages: readonly Message[];
  readonly schema?: Readonly<Record<string, unknown>>;
  readonly tools?: readonly {
    readonly name: string;
    readonly description: string;
    readonly parameters: Readonly<Record<string, unknown>>;
  }[];
}

/** Reply of `model:generate`, as far as it is used here. */
export interface Reply {
  readonly text: string;
  readonly tool_calls: readonly ToolCall[];
  readonly object?: unknown;
  readonly continuation: unknown;
  readonly usage: { readonly input_tokens: number; readonly output_tokens: number };
  readonly cost?: number;
}

export interface Thinker {
  /** @throws CodedError of `model:generate`, RUN_LIMIT_EXCEEDED */
  ask(request: Request, step: string, signal: AbortSignal, purse: Purse): Promise<Reply>;
}

/** An entry of `model:list`, as far as it is used here. */
interface Listed {
  readonly name: string;
  readonly max_tokens: number;
  readonly price?: { readonly input: number; readonly output: number };
  readonly needs?: string;
  readonly fallbacks: readonly string[];
}

/** Fewer letters per token than any usual text has, so that an estimate by it is rather too high. */
const lettersPerToken = 3;

export const defaultModel = "default";

export function openThinker(context: ModuleContext, run: StartedEntry): Thinker {
  const model = run.model ?? defaultModel;

  /** The dearest of the model and its fallbacks: nobody knows before which one will answer. */
  async function most(request: Request): Promise<Spend> {
    const { models } = await context.call<{ models: Listed[] }>("model:list", {});
    const first = models.find(({ name }) => name === model);
    const candidates = models.filter(({ name }) => name === model || first?.fallbacks.includes(name));
    const input = JSON.stringify(request).length / lettersPerToken;
    const costs = candidates.map(({ price, max_tokens }) => (price ? (input * price.input + max_tokens * price.output) / 1e6 : 0));
    const output = Math.max(0, ...candidates.map(({ max_tokens }) => max_tokens));
    return { tokens: Math.ceil(input + output), cost: Math.max(0, ...costs) };
  }

  return {
    async ask(request, step, signal, purse) {
      const release = await purse.reserve(await most(request), signal);
      let spent = nothing;
      try {
        // The run asks, not its agent: whether it may think was settled when it began.
        const cause = { ...causeOf(run), id: `${run.run_id}/${step}` };
        const reply = await context.call<Reply>("model:generate", { model, stream: true, ...request }, { cause, signal });
        spent = spendIn(reply);
        return reply;
      } catch (error) {
        // An answer of no use was paid for, too.
        if (error instanceof CodedError && error.code === "MODEL_ANSWER_INVALID") spent = spendIn(error.details);
        throw error;
      } finally {
        release(spent);
      }
    },
  };
}

/** Before a run begins that could not think. @throws CodedError MODEL_NOT_CONFIGURED */
export async function assertModel(context: ModuleContext, model = defaultModel): Promise<void> {
  const { models } = await context.call<{ models: Listed[] }>("model:list", {});
  const found = models.find(({ name }) => name === model);
  if (found !== undefined && (found.needs === undefined || found.fallbacks.length > 0)) return;
  const problem =
    found === undefined
      ? `There is no model "${model}". Add it to the section "models" of reprise.yaml, or play the pattern with the interpreter scripted.`
      : `The model "${model}" needs a key: set ${found.needs} in the environment of the daemon.`;
  throw new CodedError("MODEL_NOT_CONFIGURED", problem, { model, configured: models.map(({ name }) => name) });
}
