/** Whether the variants of an experiment that plays runs by itself can be played: asked before the first. */
import { z } from "zod";
import { CodedError, errorTable } from "../../daemon/errors.ts";
import type { MessageMeta, ModuleContext } from "../../daemon/module.ts";

const explanation = z.object({
  problems: z.array(z.object({ message: z.string(), line: z.number() })),
  uncovered: z.array(z.string()),
  unknown: z.array(z.string()),
});

/**
 * @throws CodedError COMPOSITION_NOT_FOUND, PATTERN_INVALID, … of the first variant that cannot be played, with a message about all of them
 */
export async function checkVariants(variants: readonly string[], context: ModuleContext, cause: MessageMeta): Promise<void> {
  const problems = await Promise.all(variants.map((variant) => problemOf(variant, context, cause)));
  const unfit = problems.filter((problem) => problem !== undefined);
  const [first] = unfit;
  if (first === undefined) return;
  throw new CodedError(first.code, unfit.map(({ message }) => message).join(" "), { variants: unfit });
}

async function problemOf(variant: string, context: ModuleContext, cause: MessageMeta) {
  try {
    const { problems, uncovered, unknown } = explanation.parse(
      await context.call("orchestration:explain", { pattern: variant }, { cause }),
    );
    const reasons = [
      ...problems.slice(0, 1).map(({ line, message }) => `line ${line}: ${message}`),
      ...(uncovered.length > 0 ? [`its own capabilities leave out ${uncovered.join(", ")}`] : []),
      ...(unknown.length > 0 ? [`there is no ${unknown.join(", ")}`] : []),
    ];
    if (reasons.length === 0) return undefined;
    return { variant, code: "PATTERN_INVALID" as const, message: `${variant} cannot be played: ${reasons.join("; ")}.` };
  } catch (error) {
    if (!(error instanceof CodedError) || errorTable[error.code].retryable) throw error;
    const message = error.message.includes(variant) ? error.message : `${variant}: ${error.message}`;
    return { variant, code: error.code, message: /[.!?]$/.test(message) ? message : `${message}.` };
  }
}
