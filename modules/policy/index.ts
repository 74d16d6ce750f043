/** The domain `policy`: chooses among candidates, logs each choice with its odds, and learns from the outcomes. */
import { z } from "zod";
import { commandsOf, defineModule, type Module } from "../../daemon/module.ts";
import { systemRandom } from "./chance.ts";
import { Checkpoints } from "./checkpoints.ts";
import { derivedOutcomes } from "./derived-outcomes.ts";
import { specOf } from "./features/choice.ts";
import { Gate } from "./gate.ts";
import { gateCommands } from "./gate-commands.ts";
import { gateEvents } from "./gate-events.ts";
import { Learner } from "./learner/learner.ts";
import { Ledger, type LedgerOptions } from "./ledger.ts";
import { link, linkRequest } from "./link-command.ts";
import { outcomeRequest, settle, settled } from "./outcome-command.ts";
import { choice, linked, recorded, selected } from "./schema.ts";
import { select, selectRequest } from "./select-command.ts";
import { Embedder } from "./serving/embedder.ts";
import { OnlinePolicies } from "./serving/online.ts";
import { Serving } from "./serving/serving.ts";
import { newSlot } from "./serving/slot-state.ts";
import { Slots } from "./serving/slots.ts";
import { type Settings, settings } from "./settings.ts";
import { slotCommands } from "./slot-commands.ts";
import type { State } from "./state.ts";
import { Training } from "./training.ts";

export interface PolicyModuleOptions extends LedgerOptions {
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

export function createPolicyModule({ random = systemRandom, ...ledgerOptions }: PolicyModuleOptions = {}): Module<State> {
  const command = commandsOf<State>();

  return defineModule<State>({
    name: "policy",
    description: "Chooses among candidates by what their outcomes were, and logs every choice with its odds.",
    settings: { key: "learning", schema: settings },
    commands: {
      "policy:select": command({
        description:
          "Chooses one of the candidates. The reply's decision_id joins the outcome to it. A request with the same id (ce-id) gets the same answer.",
        input: selectRequest,
        output: choice,
        handle: select,
      }),
      "policy:outcome": command({
        description: "Says how a selection turned out. The first outcome counts; a repeated one answers joined: false.",
        input: outcomeRequest,
        output: settled,
        handle: settle,
      }),
      "policy:link": command({
        description: "Names what will tell the outcome of a selection: a run, a tool call or an approval that began after it.",
        input: linkRequest,
        output: z.object({ linked: z.boolean() }),
        handle: link,
      }),
      ...gateCommands,
      ...slotCommands,
    },
    events: {
      "policy:selected": { description: "A choice was made, with the odds it had.", schema: selected },
      "policy:outcome_recorded": { description: "A selection got its outcome.", schema: recorded },
      "policy:linked": { description: "It was named what will tell the outcome of a selection.", schema: linked },
      ...gateEvents,
    },
    listens: derivedOutcomes,
    async start(context) {
      const database = context.openDatabase();
      let online: OnlinePolicies | undefined;
      let training: Training | undefined;
      const ledger = await Ledger.open(context, database, {
        ...ledgerOptions,
        onJoined(joined) {
          online?.observe(joined);
          training?.noticed(joined);
        },
        onSlotForgotten(slot) {
          online?.forgetSlot(slot);
          training?.forgotten(slot);
        },
        onForgotten: () => online?.forget(),
      });
      const { baseline, learn, features, network, embedding_patience } = context.settings as Settings;
      const slots = await Slots.open(context, newSlot(baseline, learn, specOf(features), network));
      const checkpoints = new Checkpoints(context);
      const learner = new Learner();
      const learning = new OnlinePolicies(database, ledger, context.log);
      const gate = new Gate({ context, ledger, slots, checkpoints, learner });
      const trained = new Training({ context, ledger, slots, checkpoints, learner, gate });
      online = learning;
      const serving = new Serving({ context, ledger, slots, online, checkpoints, random });
      const resumed = ledger.caughtUp().then(async () => {
        training = trained;
        await slots.announceAgain();
        await trained.resume();
      });
      resumed.catch((error: unknown) => context.log.error({ error }, "the learner could not go on where it stopped"));
      return {
        ledger,
        slots,
        online,
        checkpoints,
        serving,
        embedder: new Embedder(context, embedding_patience),
        gate,
        training: trained,
        random,
        selecting: new Map(),
        settling: new Map(),
        async [Symbol.asyncDispose]() {
          await trained[Symbol.asyncDispose]();
          await ledger[Symbol.asyncDispose]();
          learning[Symbol.dispose]();
          database[Symbol.dispose]();
        },
      };
    },
  });
}

export default createPolicyModule();
