/** The field `workflow` of a pattern, as it is written (docs/workflows.md). */
import { z } from "zod";

const strategies = ["sequential", "learned"] as const;
const notYet = ["parallel", "dag", "adaptive"];

/** Variables that the translation needs for itself. */
export const ownVariables = ["workflow", "choice", "error"];
/** Words that the language would take for its own where a variable stands. */
const languageWords = "and or in not true false null function AND OR IN NOT TRUE FALSE NULL WITH AS SET".split(" ");

const stepId = z
  .string()
  .regex(/^[A-Za-z]\w{0,58}$/, "expected the name of a variable: a letter, then letters, digits or _, at most 59")
  .refine((id) => !ownVariables.includes(id), { error: ({ input }) => `${input} is a variable of every workflow: choose another id` })
  .refine((id) => !languageWords.includes(id), { error: ({ input }) => `${input} is a word of the language: choose another id` });

const expression = z.string().min(1);
const values = z.record(z.string(), z.unknown());

const step = z.strictObject({
  id: stepId,
  tool: z.string().min(1).max(64),
  params: values.default({}),
  depends_on: z.array(z.string()).default([]),
  when: expression.optional(),
  features: values.default({}),
});
export type Step = z.output<typeof step>;

export const workflowSchema = z.strictObject({
  strategy: z
    .enum(strategies, {
      error: ({ input }) =>
        `expected ${strategies.join(" or ")}${notYet.includes(input as string) ? `: there is no strategy ${input} yet` : ""}`,
    })
    .default("sequential"),
  steps: z.array(step).min(1).max(256),
  until: expression.optional(),
  // What policy:select takes as a context.
  context: z.record(z.string().min(1).max(64), z.union([z.string(), z.number(), z.boolean(), z.null()])).default({}),
  cost: z.number().min(0).max(1).default(0.05),
  most: z.int().min(1).optional(),
  result: z.unknown().optional(),
});
export type Workflow = z.output<typeof workflowSchema>;
