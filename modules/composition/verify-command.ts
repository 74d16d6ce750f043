/** Do the event log and the decisions in git agree, and is every object of the repository whole? */
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { type Call, commandsOf } from "../../daemon/module.ts";
import { type DecisionEntry, isPending, resolution, type TrackedDecision, trackedBy } from "./entries.ts";
import { resolvedEvent, trackedEvent } from "./projection.ts";
import type { State } from "./state.ts";

const command = commandsOf<State>();

export const repairedEvent = "composition:repaired";
const shown = 1_000;
const ids = z.array(z.string()).describe(`ids of decisions, at most ${shown}`);

export const verifyCommands = {
  "composition:verify": command({
    description:
      "Compares the decisions of the event log, as far back as it reaches, with those in git, and reads every object of the repository. With `repair`, what git lacks is added; what differs or is there twice is left to you.",
    input: z.strictObject({ repair: z.boolean().default(false) }),
    output: z.object({
      agree: z.boolean(),
      decisions: z.object({ in_log: z.number(), in_git: z.number() }),
      missing: ids.describe("in the log, not in git"),
      pending: ids.describe("the log has their outcome, git does not"),
      different: ids,
      duplicated: ids,
      unlogged: ids.describe("in git, not in the log although it reaches back to them: written by hand, or by another daemon"),
      objects: z.object({ read: z.number(), problems: z.array(z.string()) }),
      commits: z.array(z.string()).describe("of the repair"),
    }),
    deadline: 600,
    async handle({ repair }, call) {
      const { state, context, meta } = call;
      const logged = await readLog(call);
      const found = await readGit(call);
      const missing = [...logged.decisions.values()].filter(({ entry }) => !found.has(entry.id));
      const pending: TrackedDecision[] = [];
      const different: string[] = [];
      for (const { pattern, version, entry } of logged.decisions.values()) {
        const [kept] = found.get(entry.id) ?? [];
        if (!kept) continue;
        const { outcome, ...rest } = entry;
        const { outcome: keptOutcome, ...keptRest } = kept.entry;
        if (kept.pattern !== pattern || !isDeepStrictEqual(keptRest, rest)) different.push(entry.id);
        else if (isPending(kept.entry) && !isPending(entry)) pending.push({ pattern, version, entry, resolves: true });
        else if (!isDeepStrictEqual(keptOutcome, outcome)) different.push(entry.id);
      }
      const since = Math.min(...[...logged.decisions.values()].map(({ entry }) => Date.parse(entry.time)));
      const unlogged = [...found].filter(([id, [kept]]) => !logged.decisions.has(id) && kept && Date.parse(kept.entry.time) >= since);
      const duplicated = [...found].filter(([, all]) => all.length > 1);
      const objects = await context.repository.check();
      const commits = repair ? await state.projection.repair([...missing, ...pending], logged.log) : [];
      const repaired = [...missing, ...pending].map(({ entry }) => entry.id);
      if (commits.length > 0) await context.emit(repairedEvent, { commits, decisions: repaired.length }, meta);
      const lists = {
        missing: missing.map(({ entry }) => entry.id),
        pending: pending.map(({ entry }) => entry.id),
        different,
        duplicated: duplicated.map(([id]) => id),
        unlogged: unlogged.map(([id]) => id),
      };
      return {
        agree: Object.values(lists).every((list) => list.length === 0),
        decisions: { in_log: logged.decisions.size, in_git: found.size },
        ...(Object.fromEntries(Object.entries(lists).map(([name, list]) => [name, list.slice(0, shown)])) as typeof lists),
        objects,
        commits,
      };
    },
  }),
};

/** What the log says that git must have, once git has had the time for it. @throws what keeps decisions from git */
async function readLog({ state, context, signal }: Call<State>) {
  const decisions = new Map<string, TrackedDecision>();
  let log: string | undefined;
  let last = 0;
  await using reader = await context.project({
    types: [trackedEvent, resolvedEvent],
    handle(events, position) {
      log = position.log;
      for (const event of events) {
        last = Math.max(last, event.seq);
        if (event.type === trackedEvent) {
          const tracked = trackedBy(event);
          decisions.set(tracked.entry.id, tracked);
          continue;
        }
        const { id, outcome } = resolution.parse(event.data);
        const tracked = decisions.get(id);
        if (tracked) decisions.set(id, { ...tracked, entry: { ...tracked.entry, outcome } });
      }
    },
  });
  await reader.caughtUp;
  if (state.projection.problem) throw state.projection.problem;
  await state.projection.reached(last, signal);
  return { decisions, log };
}

async function readGit({ state, context }: Call<State>) {
  const found = new Map<string, { pattern: string; entry: DecisionEntry }[]>();
  const head = await context.repository.head();
  const files = head === undefined ? [] : await context.repository.compare(undefined, head);
  const patterns = new Set(files.flatMap(({ path }) => /^orchestrations\/([^/]+)_decisions(?:\.yaml$|\/)/.exec(path)?.[1] ?? []));
  for (const pattern of patterns) {
    for (const segment of await state.segments.list(pattern)) {
      for (const entry of await state.segments.read(segment)) found.set(entry.id, [...(found.get(entry.id) ?? []), { pattern, entry }]);
    }
  }
  return found;
}
