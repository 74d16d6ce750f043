/** The checkpoints of trained policies: bytes in the object store, named by their SHA-256, read and checked once. */
import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import { encode } from "./features/encode.ts";
import type { FeatureSpec } from "./features/spec.ts";
import { kinds, unknownPolicy } from "./policies/kinds.ts";
import type { Policy } from "./policies/policy.ts";
import { optionsOf } from "./serving/online.ts";
import { labelOf } from "./serving/slot-state.ts";

const mostInMemory = 16;

/** Whether a checkpoint cannot be used, now or later; what else fails may succeed when it is tried again. */
export const isUnusable = (error: unknown): boolean =>
  error instanceof CodedError && ["POLICY_STATE_INVALID", "POLICY_UNKNOWN"].includes(error.code);

export class Checkpoints {
  readonly #context: ModuleContext;
  readonly #loaded = new Map<string, Promise<Policy>>();

  constructor(context: ModuleContext) {
    this.#context = context;
  }

  /** @param bytes that the learner has loaded once. @returns their SHA-256, under which they are kept */
  keep(bytes: Uint8Array): Promise<string> {
    return this.#context.objects.put(bytes);
  }

  /** @throws CodedError POLICY_STATE_INVALID when it is missing, damaged, of another spec, or not made of finite numbers */
  load(slot: string, policy: string, sha256: string, spec: FeatureSpec): Promise<Policy> {
    const key = `${sha256} ${spec.version} ${slot}`;
    const loaded = this.#loaded.get(key) ?? this.#read(slot, policy, sha256, spec);
    this.#loaded.delete(key);
    this.#loaded.set(key, loaded);
    if (this.#loaded.size > mostInMemory) this.#loaded.delete(this.#loaded.keys().next().value as string);
    loaded.catch(() => this.#loaded.delete(key));
    return loaded;
  }

  async delete(sha256: string): Promise<void> {
    await this.#context.objects.delete(sha256);
  }

  /** @throws CodedError POLICY_STATE_INVALID when it is missing or damaged; what the store throws when it does not answer */
  async bytes(slot: string, policy: string, sha256: string): Promise<Uint8Array> {
    const bytes = await this.#context.objects.get(sha256).catch((error: unknown) => {
      if (error instanceof SyntaxError) return undefined; // what says where its parts are is damaged
      throw error;
    });
    if (bytes !== undefined) return bytes;
    const message = `${labelOf({ policy, checkpoint: sha256 })}, a checkpoint of ${slot}, is missing or damaged and cannot be used; policy:list tells what serves, and policy:train trains another.`;
    throw new CodedError("POLICY_STATE_INVALID", message, { slot, policy, sha256 });
  }

  async #read(slot: string, policy: string, sha256: string, spec: FeatureSpec): Promise<Policy> {
    return check(slot, policy, await this.bytes(slot, policy, sha256), spec);
  }
}

/** Loads it and asks it something: odds that are none would only show when somebody waits for them. */
function check(slot: string, policy: string, bytes: Uint8Array, spec: FeatureSpec): Policy {
  const kind = kinds[policy];
  if (kind === undefined) throw unknownPolicy(policy);
  try {
    const loaded = kind.load(bytes, optionsOf(slot, spec));
    const { probabilities } = loaded.odds(encode(spec, { probe: 1 }, [{ id: "one" }, { id: "other" }]));
    const sum = probabilities.reduce((total, probability) => total + probability, 0);
    if (!(Math.abs(sum - 1) < 1e-6))
      throw new CodedError("POLICY_STATE_INVALID", `The state of a checkpoint of ${policy} in ${slot} yields no odds.`, { slot, policy });
    return loaded;
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    throw new CodedError(
      "POLICY_STATE_INVALID",
      `The state of a checkpoint of ${policy} in ${slot} cannot be read.`,
      { slot, policy },
      { cause },
    );
  }
}
