/** Asks a human whether a step happened of which nobody is sure, since the daemon stopped while it was under way (invariant 4). */
import type { ModuleContext } from "../../daemon/module.ts";
import { type Activity, describe } from "./activity.ts";
import { outcomeUnknown, type StepsOptions } from "./interpreter/steps.ts";
import { causeOf, type StartedEntry } from "./record.ts";
import type { EventWatch } from "./watch.ts";

export interface InquirerOptions {
  readonly context: ModuleContext;
  readonly run: StartedEntry;
  readonly watch: EventWatch;
  /** Position in the log at which the run began. */
  readonly since: number;
  readonly activity: Activity;
}

/** A request for approval, as far as it is used here. */
interface Approval {
  readonly id: string;
  readonly state: string;
  readonly option?: unknown;
  readonly decided_action?: { readonly result?: unknown };
}

const happened = "it happened";
const didNotHappen = "it did not happen";

/**
 * The human approves, or chooses "it happened", and may edit the action to say with what `result`; or denies, or chooses
 * "it did not happen": then it is done. The answer stands in the log, so that a restart does not ask again.
 */
export function inquirer({ context, run, watch, since, activity }: InquirerOptions): NonNullable<StepsOptions["inquire"]> {
  return async (doing, attempt, signal) => {
    if (!context.isCommand("approval:request")) throw outcomeUnknown(doing);
    const { step, line, effect } = doing;
    const ended = activity.begin(doing, true);
    try {
      const request = {
        action: { run: run.run_id, step, line, effect, result: null },
        reason: `The daemon stopped during step ${step} (${describe(effect)}, line ${line} of ${run.pattern}), which must not be done twice. Did it happen? If so, with what result?`,
        options: [happened, didNotHappen],
        run_id: run.run_id,
        ...(run.agent_id && { agent_id: run.agent_id }),
      };
      const cause = { ...causeOf(run), id: `${run.run_id}/${step}/inquiry-${attempt}` };
      const asked = await context.call<Approval>("approval:request", request, { cause, signal });
      const decided = asked.state === "pending" ? await decisionOn(asked.id, signal) : asked;
      if (decided.state === "denied" || decided.option === didNotHappen) return { happened: false };
      if (decided.state === "approved") return { happened: true, value: decided.decided_action?.result };
      throw outcomeUnknown(doing);
    } finally {
      ended();
    }
  };

  async function decisionOn(id: string, signal: AbortSignal): Promise<Approval> {
    const { data } = await watch.waitFor({
      types: ["approval:decided", "approval:expired", "approval:withdrawn"],
      after: since,
      where: (event) => (event.data as { id?: unknown }).id === id,
      signal,
    });
    return data as Approval;
  }
}
