/** The runs of this daemon, put together from what makes, plays, keeps and controls them. */
import type { ModuleContext } from "../../daemon/module.ts";
import { RunCatalogue } from "./catalogue.ts";
import { type Control, createControl } from "./control.ts";
import { type Journals, openJournals } from "./journals.ts";
import { createPaying, type Paying } from "./paying.ts";
import { openPlaying, type Playing } from "./playing.ts";
import type { RunEntry } from "./record.ts";
import { openRetention, sweeper } from "./retention.ts";
import { createStarting, type Starting } from "./starting.ts";

export interface Runs extends Starting, Control, Paying, AsyncDisposable {
  readonly catalogue: Pick<RunCatalogue, "list">;
  /** With references in place of large contents. @throws CodedError RUN_NOT_FOUND */
  journal(run: string): Promise<RunEntry[]>;
}

export async function openRuns(context: ModuleContext): Promise<Runs> {
  await using resources = new AsyncDisposableStack();
  const catalogue = resources.use(new RunCatalogue(context));
  await catalogue.start();
  const journals: Journals = openJournals(context, (owner) => playing.leases.holds(owner));
  const playing: Playing = resources.use(await openPlaying({ context, journals, catalogue }));
  resources.use(openRetention({ context, catalogue, isSweeper: () => playing.leases.holds(sweeper) }));
  const opened = resources.move();
  return {
    ...createStarting({ context, journals, playing }),
    ...createControl({ context, journals, catalogue, playing }),
    ...createPaying({ context, playing }),
    catalogue,
    async journal(run) {
      await playing.begun(run);
      const found = playing.find(run);
      if (found?.handle.isAtRest) await found.closed;
      return found === undefined ? journals.readClosed(run) : journals.readStored(run);
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
