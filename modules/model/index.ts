/**
 * The domain `model`: asks language models, through the AI SDK.
 *
 * Reading order: settings, schema, providers, attempt and embedding (one request), failure, breaker, patience (many), structured,
 * streaming.
 */
import { z } from "zod";
import { type Call, commandsOf, defineModule } from "../../daemon/module.ts";
import { attempt, type Turn } from "./attempt.ts";
import { type Breaker, createBreaker } from "./breaker.ts";
import { embedOnce } from "./embedding.ts";
import type { Failure } from "./failure.ts";
import { askPatiently } from "./patience.ts";
import { keyOf, placeOf } from "./providers.ts";
import {
  answered,
  type EmbedReply,
  type EmbedRequest,
  embedded,
  embedReply,
  embedRequest,
  type GenerateReply,
  type GenerateRequest,
  generateReply,
  generateRequest,
  listedModel,
  type Message,
  streamed,
  type Usage,
} from "./schema.ts";
import { costOf, type ModelsSection, modelsSection } from "./settings.ts";
import { tellAsItComes } from "./streaming.ts";
import { mending, type Reading, shapeOf, unfit } from "./structured.ts";

interface Models extends AsyncDisposable {
  readonly models: ModelsSection;
  readonly breaker: Breaker;
}

const command = commandsOf<Models>();

export default defineModule<Models>({
  name: "model",
  description: "Asks language models.",
  settings: { key: "models", schema: modelsSection },
  commands: {
    "model:generate": command({
      description: "Asks a model for one turn: text, calls of tools, or an object that fits a schema.",
      input: generateRequest,
      output: generateReply,
      deadline: 1800,
      handle: generate,
    }),
    "model:embed": command({
      description:
        "Turns texts into vectors that are close where the texts mean the like. A model's fallbacks are not asked: theirs are others.",
      input: embedRequest,
      output: embedReply,
      deadline: 1800,
      handle: embed,
    }),
    "model:list": command({
      description: "Lists the models that are configured, and whether they can be asked.",
      reads: true,
      input: z.strictObject({}),
      output: z.object({ models: z.array(listedModel) }),
      handle: (_, { state }) => ({ models: Object.entries(state.models).map(([name, settings]) => listed(name, settings, state.breaker)) }),
    }),
  },
  events: {
    "model:streamed": { description: "A piece of an answer came.", schema: streamed },
    "model:embedded": { description: "A model turned texts into vectors; what it took.", schema: embedded },
    "model:answered": { description: "A model answered; what it took.", schema: answered },
  },
  start: ({ settings }) => ({
    models: settings as ModelsSection,
    breaker: createBreaker(),
    [Symbol.asyncDispose]: async () => {},
  }),
});

/** An answer that does not fit the schema is mended once; both rounds count in what it took. */
async function generate({ prompt, messages = [], ...request }: GenerateRequest, call: Call<Models>): Promise<GenerateReply> {
  const { state, context, meta, signal } = call;
  const shape = request.schema && shapeOf(request.schema);
  const streaming = request.stream ? tellAsItComes(context, request.model, meta) : undefined;
  const begun = performance.now();
  const conversation: Message[] = prompt === undefined ? [...messages] : [{ role: "user", content: prompt }];
  const spent = { usage: { input_tokens: 0, output_tokens: 0, cached_tokens: 0 } as Usage, cost: 0 as number | undefined, attempts: 0 };

  async function round(): Promise<{ turn: Turn; model: string; reading?: Reading }> {
    const {
      answer: turn,
      model,
      attempts,
    } = await askPatiently({
      ...state,
      model: request.model,
      takesFallbacks: true,
      signal,
      attempt: (settings) =>
        attempt({ settings, request: { ...request, messages: conversation }, signal, onText: (text) => streaming?.add(text) }),
      onFailure: logFailure(call),
    });
    spent.attempts += attempts;
    for (const key of Object.keys(spent.usage) as (keyof Usage)[]) spent.usage[key] += turn.usage[key];
    const added = costOf(turn.usage, state.models[model]?.price);
    spent.cost = spent.cost === undefined || added === undefined ? undefined : spent.cost + added;
    // Who calls tools first has not answered yet.
    return { turn, model, ...(shape && turn.tool_calls.length === 0 && { reading: shape.read(turn.text) }) };
  }

  try {
    let { turn, model, reading } = await round();
    if (reading?.problem !== undefined) {
      conversation.push(...mending(turn.text, reading.problem));
      ({ turn, model, reading } = await round());
    }
    const { kind: _, ...said } = turn;
    const took = { model, finish_reason: turn.finish_reason, ...spent };
    // An answer that was paid for is to reach its asker without delay.
    context
      .emit("model:answered", { id: meta.id, ...took, milliseconds: Math.round(performance.now() - begun) }, meta)
      .catch((error: unknown) => {
        context.log.warn({ error }, "an answer could not be told");
      });
    if (reading?.problem !== undefined) throw unfit(model, reading.problem, turn.text, spent);
    return { ...said, ...(reading && { object: reading.object }), ...took };
  } finally {
    streaming?.end();
  }
}

async function embed({ model: asked, texts }: EmbedRequest, call: Call<Models>): Promise<EmbedReply> {
  const { state, context, meta, signal } = call;
  const begun = performance.now();
  const { answer, model, attempts } = await askPatiently({
    ...state,
    model: asked,
    takesFallbacks: false,
    signal,
    attempt: (settings) => embedOnce({ settings, texts, signal }),
    onFailure: logFailure(call),
  });
  const { vectors, usage } = answer;
  const cost = costOf(usage, state.models[model]?.price);
  const took = { model, usage, attempts, ...(cost !== undefined && { cost }) };
  const dimensions = vectors[0]?.length ?? 0;
  context
    .emit(
      "model:embedded",
      { id: meta.id, texts: texts.length, dimensions, ...took, milliseconds: Math.round(performance.now() - begun) },
      meta,
    )
    .catch((error: unknown) => context.log.warn({ error }, "an embedding could not be told"));
  return { vectors, ...took };
}

const logFailure =
  ({ context }: Call<Models>) =>
  (model: string, failure: Failure) =>
    context.log.warn({ model, ...failure }, "a model did not answer");

function listed(name: string, settings: ModelsSection[string], breaker: Breaker): z.output<typeof listedModel> {
  const { provider, model, base_url, fallbacks, price, max_tokens } = settings;
  const { missing } = keyOf(settings);
  return {
    name,
    provider,
    model,
    ...(base_url && { base_url }),
    fallbacks,
    ...(price && { price }),
    max_tokens,
    state: missing ? "no_key" : breaker.isResting(placeOf(settings)) ? "resting" : "ready",
    ...(missing && { needs: missing }),
  };
}
