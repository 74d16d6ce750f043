/** Asks the model of a run, and pays for it from the run's account. */
import { CodedError } from "../../../daemon/errors.ts";
import type { ModuleContext } from "../../../daemon/module.ts";
import type { Purse } from "../account.ts";
import { askModel, type ListedModel } from "../asking.ts";
import { causeOf, type StartedEntry } from "../record.ts";

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

export const defaultModel = "default";

export function openThinker(context: ModuleContext, run: StartedEntry): Thinker {
  const model = run.model ?? defaultModel;

  return {
    // The run asks, not its agent: whether it may think was settled when it began.
    ask: (request, step, signal, purse) =>
      askModel(context, { model, stream: true, ...request }, purse, { cause: { ...causeOf(run), id: `${run.run_id}/${step}` }, signal }),
  };
}

/** Before a run begins that could not think. @throws CodedError MODEL_NOT_CONFIGURED */
export async function assertModel(context: ModuleContext, model = defaultModel): Promise<void> {
  const { models } = await context.call<{ models: ListedModel[] }>("model:list", {});
  const found = models.find(({ name }) => name === model);
  if (found !== undefined && (found.needs === undefined || found.fallbacks.length > 0)) return;
  const problem =
    found === undefined
      ? `There is no model "${model}". Add it to the section "models" of reprise.yaml, or play the pattern with the interpreter scripted.`
      : `The model "${model}" needs a key: set ${found.needs} in the environment of the daemon.`;
  throw new CodedError("MODEL_NOT_CONFIGURED", problem, { model, configured: models.map(({ name }) => name) });
}
