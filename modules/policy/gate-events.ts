/** What is told of the learner and the gate. */
import { z } from "zod";
import type { EventDeclaration } from "../../daemon/module.ts";
import { featureSpec } from "./features/choice.ts";
import { architecture } from "./neural/architecture.ts";
import { rewardDefinition } from "./reward.ts";
import { outcomeSource } from "./schema.ts";
import { checkpointFields } from "./slot-view.ts";

const evidence = z.record(z.string(), z.unknown());

const configured = z.object({
  slot: z.string(),
  learn: z.array(z.string()),
  reward: rewardDefinition,
  outcome_from: outcomeSource.shape.event.optional(),
  features: featureSpec,
  network: architecture,
  serving: z.string().describe("where the features are others now, the latest that learns as it goes"),
});
/** The data of `policy:configured`. */
export type Configured = z.output<typeof configured>;

export const gateEvents: Readonly<Record<string, EventDeclaration>> = {
  "policy:configured": {
    description: "It was set how a slot learns.",
    schema: configured,
  },
  "policy:trained": {
    description: "A policy was trained on the outcomes of a slot; its checkpoint is kept and serves nothing yet.",
    schema: z.object({ slot: z.string(), checkpoint: checkpointFields }),
  },
  "policy:promoted": {
    description: "A policy passed its gate: it is on trial with a share of the selections, or serves.",
    schema: z.object({
      slot: z.string(),
      policy: z.string(),
      over: z.string().describe("what served before"),
      stage: z.enum(["trial", "serving"]),
      share: z.number(),
      automatic: z.boolean(),
      evidence,
    }),
  },
  "policy:rolled_back": {
    description: "A policy does not serve any more, by itself or by command.",
    schema: z.object({
      slot: z.string(),
      from: z.string(),
      to: z.string(),
      reason: z.string(),
      automatic: z.boolean(),
      evidence: evidence.optional(),
    }),
  },
  "policy:frozen": { description: "What serves a slot stays.", schema: z.object({ slot: z.string(), policy: z.string() }) },
  "policy:unfrozen": { description: "What serves a slot may change again.", schema: z.object({ slot: z.string(), policy: z.string() }) },
};
