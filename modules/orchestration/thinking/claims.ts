/**
 * Claimed against observed: what a model says that it did is compared with what the run did.
 *
 * Only plain claims are understood: a verb of doing in the past and, after it in the same sentence, the name of an event, command
 * or tool (`I emitted alert:raised`). What the run did stands in the event log and in its journal.
 */
import type { ModuleContext } from "../../../daemon/module.ts";
import { causeOf, type StartedEntry } from "../record.ts";

export interface Claim {
  readonly claim: string;
  /** The event, command or tool that is claimed to have been used. */
  readonly target: string;
  readonly step: string;
}

export interface Claims {
  /** @param about_to what is done right after, so that it may be claimed already */
  check(text: string, step: string, about_to?: readonly string[]): Promise<void>;
  /** Those that nothing shows. */
  readonly unverified: readonly Claim[];
}

const deed =
  /\b(?:emitted|sent|published|raised|triggered|called|invoked|ran|executed|spawned|started|created|notified|recorded|tracked)\b/i;
/** `domain:action`, or a word in quotes or backticks. */
const named = /\b[a-z][a-z0-9_]*:[a-z][a-z0-9_]*\b|(?<=[`"'])[a-z][a-z0-9_]*(?=[`"'])/g;
const denial = /\b(?:not|never|no|n't|without|nothing|will|would|should|could|to be|if)\b|n't\b/i;

/** What a text claims to have been done. Pure. */
export function claimsIn(text: string): { claim: string; target: string }[] {
  return text.split(/(?<=[.!?;])\s+|\n+/).flatMap((sentence) => {
    const verb = deed.exec(sentence);
    if (verb === null || denial.test(sentence)) return [];
    const after = sentence.slice(verb.index);
    return [...new Set(after.match(named) ?? [])].map((target) => ({ claim: sentence.trim().slice(0, 500), target }));
  });
}

/** @param wasDone does the run itself know of it? */
export function openClaims(context: ModuleContext, run: StartedEntry): Claims {
  const unverified: Claim[] = [];

  async function isShown(target: string): Promise<boolean> {
    if (target.includes(":")) {
      const { events } = await context.events.query({ types: [target], run: run.run_id, limit: 1 });
      if (events.length > 0) return true;
    }
    // Commands and tools are in the journal, by the intent of their step or in its result.
    const quoted = JSON.stringify(target);
    return (await context.journal.read(run.run_id)).slice(1).some((entry) => deedsIn(entry).includes(quoted));
  }

  return {
    unverified,
    async check(text, step, about_to = []) {
      for (const { claim, target } of claimsIn(text)) {
        if (about_to.includes(target) || (await isShown(target))) continue;
        unverified.push({ claim, target, step });
        if (run.agent_id === undefined) continue;
        const cause = { ...causeOf(run), id: `${run.run_id}/${step}/claim/${unverified.length}` };
        await context.call("agent:report_claim", { agent_id: run.agent_id, run_id: run.run_id, step, claim, target }, { cause });
      }
    },
  };
}

/** What an entry says was begun, but for what was thought. */
function deedsIn(entry: unknown): string {
  const { intents = [] } = entry as { intents?: { effect?: { kind?: string } }[] };
  return JSON.stringify(intents.filter(({ effect }) => effect?.kind !== "judge" && effect?.kind !== "think"));
}
