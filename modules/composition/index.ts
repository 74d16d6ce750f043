/**
 * The domain `composition`: patterns, profiles and components as YAML in git, and the decisions that agents took on them.
 *
 * Reading order: content (what a text must hold), derived-fields (what it must not), store (files of the repository), commands;
 * entries, segments (decisions as files), projection (from the event log into git), decision-commands; catalogue (an index of it
 * all), filter, family, select, query-commands; version-commands with render, ancestry, structural-diff, merge-into, merge
 * (data-merge, text-merge, line-merge), yaml-edit; learn-command, verify-command.
 */
import { z } from "zod";
import { defineModule } from "../../daemon/module.ts";
import { Catalogue, invalidEvent } from "./catalogue/catalogue.ts";
import { compositionCommands, issue } from "./commands.ts";
import { compositionTypes } from "./content.ts";
import { decisionCommands } from "./decision-commands.ts";
import { decisionEntry, resolution } from "./entries.ts";
import { learnCommands, learned, learnedEvent } from "./learn-command.ts";
import { DecisionProjection, recordedEvent, resolvedEvent, trackedEvent } from "./projection.ts";
import { queryCommands } from "./query-commands.ts";
import { DecisionSegments } from "./segments.ts";
import { selectedEvent, selection } from "./select.ts";
import type { State } from "./state.ts";
import { CompositionStore } from "./store.ts";
import { Turns } from "./turns.ts";
import { repairedEvent, verifyCommands } from "./verify-command.ts";
import { versionCommands, versionEvents } from "./version-commands.ts";

const change = z.object({ name: z.string(), type: z.enum(compositionTypes), commit: z.string(), author: z.string() });
const versionedChange = change.extend({ version: z.string() });

export default defineModule<State>({
  name: "composition",
  description: "Patterns, profiles and components in git, and the decisions taken on them.",
  commands: { ...compositionCommands, ...decisionCommands, ...queryCommands, ...learnCommands, ...verifyCommands, ...versionCommands },
  events: {
    "composition:created": { description: "A composition was added.", schema: versionedChange },
    "composition:saved": { description: "A composition has a new text.", schema: versionedChange },
    ...versionEvents,
    "composition:deleted": { description: "A composition was removed.", schema: change },
    [invalidEvent]: {
      description: "A commit, made by hand, left a composition invalid.",
      schema: change.extend({ path: z.string(), issues: z.array(issue) }),
    },
    [selectedEvent]: {
      description: "A pattern was chosen for a task.",
      schema: selection.extend({ task: z.unknown() }),
    },
    [trackedEvent]: {
      description: "A decision was taken; it is on its way into git.",
      schema: decisionEntry.extend({ pattern: z.string(), version: z.string() }),
    },
    [learnedEvent]: { description: "An insight was added to a pattern.", schema: learned },
    [repairedEvent]: {
      description: "Decisions of the event log that git lacked were added.",
      schema: z.object({ commits: z.array(z.string()), decisions: z.number() }),
    },
    [resolvedEvent]: {
      description: "A decision that was tracked without an outcome got it; it is on its way into git.",
      schema: resolution.extend({ pattern: z.string(), version: z.string() }),
    },
    [recordedEvent]: {
      description: "Decisions, or their outcomes, are in git.",
      schema: z.object({
        commit: z.string(),
        author: z.string(),
        decisions: z.array(z.object({ id: z.string(), pattern: z.string(), resolved: z.literal(true).optional() })),
      }),
    },
  },
  async start(context) {
    const catalogue = new Catalogue(context);
    await catalogue.performance.start();
    const segments = new DecisionSegments(context.repository);
    const projection = new DecisionProjection(context, segments);
    await projection.start();
    return {
      store: new CompositionStore(context.repository, async (path, version) => {
        await catalogue.refresh();
        return catalogue.history.findVersion(path, version);
      }),
      catalogue,
      segments,
      projection,
      turns: new Turns(),
      async [Symbol.asyncDispose]() {
        await projection[Symbol.asyncDispose]();
        await catalogue[Symbol.asyncDispose]();
      },
    };
  },
});
