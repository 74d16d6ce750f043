/** What a pattern does to the world: everything an interpreter asks for beside the state of its own run. */
export type Effect =
  | { readonly kind: "emit"; readonly event: string; readonly data: unknown; readonly delay?: number }
  | { readonly kind: "call"; readonly command: string; readonly input: unknown }
  | { readonly kind: "run"; readonly tool: string; readonly input: unknown }
  | { readonly kind: "choose"; readonly slot: string; readonly context: unknown; readonly candidates: readonly unknown[] }
  | { readonly kind: "outcome"; readonly input: Readonly<Record<string, unknown>> }
  | { readonly kind: "track"; readonly input: Readonly<Record<string, unknown>> }
  /** Milliseconds. */
  | { readonly kind: "sleep"; readonly milliseconds: number };

export interface Effects {
  /**
   * @param step number of the step within the run, the same in every attempt: `run/step` is the idempotency key
   * @throws CodedError
   */
  perform(effect: Effect, step: string, signal: AbortSignal): Promise<unknown>;
  /** Changes nothing, so that it needs no intent in the journal and may be done again at will. */
  isRead(effect: Effect): boolean;
  /** May it be performed again after a crash, when nobody knows whether it was? Asked only then. */
  isRepeatable(effect: Effect): Promise<boolean>;
}
