/** Assigning a variant: a choice like any other, logged with its odds by the policy that draws it. */
import { z } from "zod";
import type { Caller, MessageMeta, ModuleContext } from "../../daemon/module.ts";
import { exploration, slotOf } from "./evidence.ts";
import type { assignment, Experiment } from "./schema.ts";

const selected = z.object({ choice: z.string(), probability: z.number(), decision_id: z.string() });

export async function assign(
  experiment: Experiment,
  context: ModuleContext,
  { owner, cause }: { owner?: Pick<Caller, "kind" | "id" | "isClaimed">; cause: Partial<MessageMeta> },
): Promise<z.output<typeof assignment>> {
  const odds = experiment.mode === "ab" ? { policy: "uniform" } : { policy: "thompson", explore: exploration };
  const candidates = experiment.variants.map((id) => ({ id }));
  const request = { slot: slotOf(experiment), candidates, ...odds, ...(owner && { on_behalf_of: owner }) };
  const { choice, ...rest } = selected.parse(await context.call("policy:select", request, { cause }));
  return { variant: choice, ...rest };
}
