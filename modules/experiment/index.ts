/** The domain `experiment`: compares variants of a pattern by what their runs were worth. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { commandsOf, defineModule } from "../../daemon/module.ts";
import { assign } from "./assign.ts";
import { type Experiments, openExperiments } from "./experiments.ts";
import { assignment, comparison, experimentName, startRequest, status } from "./schema.ts";

const command = commandsOf<Experiments>();

export default defineModule<Experiments>({
  name: "experiment",
  description: "Compares variants of a pattern; whoever looks at the comparison early does not spoil it.",
  commands: {
    "experiment:start": command({
      description: "Starts a comparison of variants, which plays runs of them by itself or gives them out.",
      input: startRequest,
      output: status,
      handle: (request, { state, caller, meta }) => state.start(request, caller, meta),
    }),
    "experiment:assign": command({
      description: "Gives out a variant of a running experiment; policy:outcome says how it turned out.",
      input: z.strictObject({ name: experimentName }),
      output: assignment,
      handle({ name }, { state, context, caller, meta }) {
        const experiment = state.get(name);
        if (experiment.state !== "running") {
          const message = `The experiment ${name} has ended (${experiment.state}) and gives out nothing more; experiment:status tells how.`;
          throw new CodedError("EXPERIMENT_ENDED", message, { name, state: experiment.state });
        }
        const { kind, id, isClaimed } = caller;
        return assign(experiment, context, { owner: { kind, id, ...(isClaimed && { isClaimed }) }, cause: meta });
      },
    }),
    "experiment:status": command({
      description: "Tells how the variants compare so far, of one experiment or all; it may be asked for at any time.",
      reads: true,
      input: z.strictObject({ name: experimentName.optional() }),
      output: z.object({ experiments: z.array(status) }),
      handle: async ({ name }, { state }) => ({
        experiments: name === undefined ? await state.all() : [await state.status(state.get(name))],
      }),
    }),
    "experiment:stop": command({
      description: "Ends an experiment; of one that ended already it only tells how.",
      input: z.strictObject({ name: experimentName }),
      output: status,
      deadline: 60,
      handle: ({ name }, { state }) => state.stop(name),
    }),
  },
  events: {
    "experiment:started": {
      description: "A comparison began.",
      schema: z.object({ name: z.string(), variants: z.array(z.string()), mode: z.string(), runs: z.int() }),
    },
    "experiment:concluded": {
      description: "A comparison has a winner, used up its runs, was stopped or cannot go on.",
      schema: z.object({
        name: z.string(),
        state: z.string(),
        verdict: z.string(),
        variants: status.shape.variants,
        comparisons: z.array(comparison),
      }),
    },
  },
  start: openExperiments,
});
