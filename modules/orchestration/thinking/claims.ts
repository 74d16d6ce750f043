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
  /** @param following what is done right after, so that it may be claimed already */
  check(text: string, step: string, following?: readonly string[]): Promise<void>;
  /** Those that nothing shows. */
  readonly unverified: readonly Claim[];
}

const deed =
  /\b(?:emitted|sent|published|raised|triggered|called|invoked|ran|executed|spawned|started|created|notified|recorded|tracked)\b/i;
/** `domain:action`, or a word in quotes or backticks. */
const named = /\b[a-z][a-z0-9_]*:[a-z][a-z0-9_]*\b|(?<=[`"'])[a-z][a-z0-9_]*(?=[`"'])/g;
const denial = /\b(?:not|never|no|without|nothing|will|would|should|could|to be|if)\b|n't\b/i;

/** What a text claims to have been done; a word in quotes is a target only if it is the name of a tool. Pure. */
export function claimsIn(text: string): { claim: string; target: string }[] {
  return text.split(/(?<=[.!?;])\s+|\n+/).flatMap((sentence) => {
    const verb = deed.exec(sentence);
    if (verb === null || denial.test(sentence)) return [];
    const names = [...new Set(sentence.slice(verb.index).match(named) ?? [])].map(targetOf);
    const targets = /^spawned$/i.test(verb[0]) && !names.some((name) => name.includes(":")) ? ["agent:spawn", ...names] : names;
    return targets.map((target) => ({ claim: sentence.trim().slice(0, 500), target }));
  });
}

/** The tools of the llm interpreter bear the names of what they use: `run__compress`, `agent__spawn`. */
const targetOf = (name: string): string => name.replace(/^run__/, "").replace("__", ":");

/** Effects that are commands, though they do not name them. */
const commandOf: Readonly<Record<string, string>> = {
  spawn: "agent:spawn",
  send: "agent:send",
  terminate: "agent:terminate",
  track: "composition:track_decision",
  choose: "policy:select",
  outcome: "policy:outcome",
  ask: "approval:request",
};

export function openClaims(context: ModuleContext, run: StartedEntry): Claims {
  const unverified: Claim[] = [];

  async function isTool(name: string): Promise<boolean> {
    const { tools } = await context.call<{ tools: { name: string }[] }>("tool:list", {});
    return tools.some((tool) => tool.name === name);
  }

  async function isShown(target: string): Promise<boolean> {
    // Reads leave no trace, and do nothing that could be claimed in vain.
    if (context.isRead(target)) return true;
    const quoted = JSON.stringify(target);
    if ((await context.journal.read(run.run_id)).some((entry) => deedsIn(entry).includes(quoted))) return true;
    if (!target.includes(":")) return false;
    const { events } = await context.events.query({ types: [target], run: run.run_id, limit: 1 });
    return events.length > 0;
  }

  return {
    unverified,
    async check(text, step, following = []) {
      for (const { claim, target } of claimsIn(text)) {
        const isName = target.includes(":") || (await isTool(target));
        if (!isName || following.includes(target) || (await isShown(target))) continue;
        unverified.push({ claim, target, step });
        if (run.agent_id === undefined) continue;
        const cause = { ...causeOf(run), id: `${run.run_id}/${step}/claim/${unverified.length}` };
        await context.call("agent:report_claim", { agent_id: run.agent_id, run_id: run.run_id, step, claim, target }, { cause });
      }
    },
  };
}

/** What an entry of the journal says was begun, but for what was thought. */
function deedsIn(entry: unknown): string {
  const { intents = [] } = entry as { intents?: { effect?: { kind: string } }[] };
  const effects = intents.flatMap(({ effect }) => (effect === undefined || effect.kind === "decide" ? [] : effect));
  return JSON.stringify(effects.map((effect) => [commandOf[effect.kind], effect]));
}
