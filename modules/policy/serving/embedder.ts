/**
 * Finds what the texts of a choice mean, by the embeddings of a model, so that no choice depends on it:
 *
 * 1. A choice waits for a while at most. What comes later is known at the next choice, and while one answer is overdue nobody
 *    waits for that model.
 * 2. What a choice was made with is logged with it, so nothing is asked again to learn from it.
 */
import { setTimeout as pause } from "node:timers/promises";
import { CodedError } from "../../../daemon/errors.ts";
import type { MessageMeta, ModuleContext } from "../../../daemon/module.ts";
import { project } from "../features/projection.ts";
import type { TextSpec } from "../features/spec.ts";
import { digestOf, type Embeddings } from "../features/texts.ts";

interface Wanted {
  readonly text: string;
  readonly digest: string;
  readonly key: string;
}

/** A request that is under way. */
interface Asking {
  readonly model: string;
  /** Of its texts. */
  readonly keys: ReadonlySet<string>;
  readonly done: Promise<void>;
  isOverdue: boolean;
  problem?: string;
}

const mostKnown = 10_000;
const textsAtOnce = 64;
const mostUnderWay = 8;
/** Characters of a text that are sent: many models take no more than 512 tokens. */
const longestSent = 2_000;
const longestReason = 200;

export class Embedder {
  readonly #context: ModuleContext;
  readonly #patience: number;
  /** Least recently used first. */
  readonly #known = new Map<string, readonly number[]>();
  readonly #underWay = new Set<Asking>();

  /** @param patience seconds that a choice waits at most */
  constructor(context: ModuleContext, patience: number) {
    this.#context = context;
    this.#patience = patience;
  }

  /** @param texts different ones. @returns what is known of them within the patience; never rejects */
  async vectorsOf(texts: readonly string[], spec: TextSpec, cause: MessageMeta): Promise<Embeddings> {
    const { embedding: model, dimensions } = spec;
    const wanted = texts.map((text): Wanted => {
      const digest = digestOf(text);
      return { text, digest, key: `${model} ${dimensions} ${digest}` };
    });
    const unknown = wanted.filter(({ key }) => !this.#known.has(key));
    const isRefused = !this.#ask(
      unknown.filter(({ key }) => this.#asking(key) === undefined),
      spec,
      cause,
    );
    const awaited = new Set(unknown.flatMap(({ key }) => this.#asking(key) ?? []));
    await this.#wait(awaited, model);
    const vectors: Record<string, readonly number[]> = {};
    for (const { digest, key } of wanted) {
      const vector = this.#known.get(key);
      if (vector !== undefined) vectors[digest] = this.#remember(key, vector);
    }
    const missing = texts.length - Object.keys(vectors).length;
    const problem = [...awaited].find((each) => each.problem !== undefined)?.problem ?? `no answer within ${this.#patience} s`;
    const reason = isRefused ? "too many requests for embeddings are under way" : problem;
    return { model, dimensions, vectors, ...(missing > 0 && { missing, reason }) };
  }

  /** @throws CodedError of `model:embed` when the model will not embed, however often it is asked */
  async check({ embedding: model }: TextSpec, cause: MessageMeta): Promise<void> {
    const signal = AbortSignal.any([AbortSignal.timeout(this.#patience * 1000), this.#context.signal]);
    try {
      await this.#context.call("model:embed", { model, texts: ["Does this model embed?"] }, { cause, signal });
    } catch (error) {
      if (error instanceof CodedError && !error.retryable) throw error;
    }
  }

  #asking(key: string): Asking | undefined {
    for (const asking of this.#underWay) if (asking.keys.has(key)) return asking;
    return undefined;
  }

  /** @returns false when there is no room for all of them */
  #ask(wanted: readonly Wanted[], spec: TextSpec, cause: MessageMeta): boolean {
    for (let from = 0; from < wanted.length; from += textsAtOnce) {
      if (this.#underWay.size >= mostUnderWay) return false;
      const some = wanted.slice(from, from + textsAtOnce);
      const { promise: done, resolve } = Promise.withResolvers<void>();
      const asking: Asking = { model: spec.embedding, keys: new Set(some.map(({ key }) => key)), done, isOverdue: false };
      this.#underWay.add(asking);
      void this.#embed(some, spec, cause)
        .catch((error: unknown) => {
          asking.problem = (error instanceof Error ? error.message : String(error)).slice(0, longestReason);
        })
        .finally(() => {
          this.#underWay.delete(asking);
          resolve();
        });
    }
    return true;
  }

  async #embed(wanted: readonly Wanted[], { embedding: model, dimensions }: TextSpec, cause: MessageMeta): Promise<void> {
    const texts = wanted.map(({ text }) => text.slice(0, longestSent));
    const { vectors } = await this.#context.call<{ vectors: number[][] }>(
      "model:embed",
      { model, texts },
      { cause, signal: this.#context.signal },
    );
    for (const [index, { key }] of wanted.entries()) this.#remember(key, project(vectors[index] as number[], dimensions));
    for (const each of this.#underWay) if (each.model === model) each.isOverdue = false;
  }

  async #wait(awaited: ReadonlySet<Asking>, model: string): Promise<void> {
    const isOverdue = [...this.#underWay].some((each) => each.model === model && each.isOverdue);
    if (awaited.size === 0 || isOverdue) return;
    const over = new AbortController();
    const patience = pause(this.#patience * 1000, undefined, { signal: over.signal }).catch(() => undefined);
    await Promise.race([Promise.all([...awaited].map(({ done }) => done)), patience]);
    over.abort();
    for (const each of awaited) each.isOverdue = this.#underWay.has(each);
  }

  #remember(key: string, vector: readonly number[]): readonly number[] {
    this.#known.delete(key);
    this.#known.set(key, vector);
    if (this.#known.size > mostKnown) this.#known.delete(this.#known.keys().next().value as string);
    return vector;
  }
}
