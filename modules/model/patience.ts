/** Asks until a model answers: attempts with growing pauses, then its fallbacks; places that keep failing are passed over. */
import { setTimeout as pause } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import type { Breaker } from "./breaker.ts";
import { type Failure, isFailure, modelError } from "./failure.ts";
import { keyOf, placeOf } from "./providers.ts";
import type { ModelSettings, ModelsSection } from "./settings.ts";

/** What is told apart from a failure. */
type Answer = { readonly kind: "turn" | "embedded" };

export interface Asking<Wanted extends Answer> {
  readonly models: ModelsSection;
  readonly breaker: Breaker;
  readonly model: string;
  /** Whether another model's answer would do as well. */
  readonly takesFallbacks: boolean;
  readonly signal: AbortSignal;
  /** Asks one model once. @throws the reason of the signal */
  attempt(settings: ModelSettings): Promise<Wanted | Failure>;
  /** Told of each failure. */
  onFailure(model: string, failure: Failure): void;
}

export interface Answered<Wanted extends Answer> {
  readonly answer: Wanted;
  /** The name of the model that answered. */
  readonly model: string;
  /** Requests that were made, with those that failed. */
  readonly attempts: number;
}

/** Milliseconds. */
const firstPause = 500;
const longestPause = 20_000;
/** A provider that wants more patience than this is passed over. */
const longestRetryAfter = 60_000;

/** @throws CodedError MODEL_NOT_CONFIGURED, MODEL_UNAVAILABLE, MODEL_REFUSED; the reason of the signal */
export async function askPatiently<Wanted extends Answer>(asking: Asking<Wanted>): Promise<Answered<Wanted>> {
  const { models, model: asked, takesFallbacks } = asking;
  const first = models[asked];
  if (first === undefined) throw notConfigured(asked, models);
  const failures: (Failure & { model: string })[] = [];
  let attempts = 0;
  for (const model of [asked, ...(takesFallbacks ? first.fallbacks : [])]) {
    const settings = models[model] as ModelSettings;
    for await (const result of attemptsAt(settings, asking)) {
      if (result.isRequest) attempts++;
      const { outcome } = result;
      if (!isFailure(outcome)) return { answer: outcome, model, attempts };
      failures.push({ ...outcome, model });
      asking.onFailure(model, outcome);
    }
  }
  throw modelError(failures);
}

interface Result<Wanted> {
  readonly outcome: Wanted | Failure;
  /** Was the provider asked at all? */
  readonly isRequest: boolean;
}

/** What one model makes of it, until it answered or is not to be asked again. */
async function* attemptsAt<Wanted extends Answer>(
  settings: ModelSettings,
  { breaker, signal, attempt }: Asking<Wanted>,
): AsyncGenerator<Result<Wanted>> {
  const { missing } = keyOf(settings);
  if (missing !== undefined) {
    const message = `its key is missing: set ${missing} in the environment of the daemon`;
    return yield { outcome: { kind: "unconfigured", message }, isRequest: false };
  }
  const place = placeOf(settings);
  for (let round = 1; round <= settings.attempts; round++) {
    if (!breaker.admits(place)) {
      const message = `${place} failed several times in a row and is left alone for a while`;
      return yield { outcome: { kind: "passing", message }, isRequest: false };
    }
    const outcome = await attempt(settings);
    // Who refuses answers, so the place is well.
    if (outcome.kind === "passing") breaker.failed(place);
    else breaker.succeeded(place);
    yield { outcome, isRequest: true };
    if (!isFailure(outcome) || outcome.kind !== "passing" || round === settings.attempts) return;
    const wait = outcome.retryAfter ?? jittered(firstPause * 2 ** (round - 1));
    if (wait > longestRetryAfter) return;
    await pause(wait, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** Half of it to all of it, so that many who failed together do not come back together. */
const jittered = (milliseconds: number): number => Math.min(longestPause, milliseconds) * (0.5 + Math.random() / 2);

function notConfigured(model: string, models: ModelsSection): CodedError {
  const configured = Object.keys(models);
  const advice = 'Add it to the section "models" of reprise.yaml, such as `models: {default: {provider: openai, model: NAME}}`.';
  const others = configured.length === 0 ? "" : ` Configured: ${configured.join(", ")}.`;
  return new CodedError("MODEL_NOT_CONFIGURED", `There is no model "${model}". ${advice}${others}`, { model, configured });
}
