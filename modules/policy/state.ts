/** What the handlers of the module share. */
import type { Caller } from "../../daemon/module.ts";
import type { Checkpoints } from "./checkpoints.ts";
import type { Gate } from "./gate.ts";
import type { Ledger } from "./ledger.ts";
import type { Selecting } from "./select-command.ts";
import type { Embedder } from "./serving/embedder.ts";
import type { OnlinePolicies } from "./serving/online.ts";
import type { Serving } from "./serving/serving.ts";
import type { Slots } from "./serving/slots.ts";
import type { Training } from "./training.ts";

export interface State extends AsyncDisposable {
  readonly ledger: Ledger;
  readonly slots: Slots;
  readonly online: OnlinePolicies;
  readonly checkpoints: Checkpoints;
  readonly serving: Serving;
  readonly embedder: Embedder;
  readonly gate: Gate;
  readonly training: Training;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Answers that the ledger does not know yet, by what was asked: whoever repeats the request shares them. */
  readonly selecting: Map<string, Promise<Selecting>>;
  /** Outcomes that are being written, by decision. */
  readonly settling: Map<string, Promise<unknown>>;
}

/** How the log names who asked for a selection. Who names itself an agent from outside is not that agent. */
export const ownerOf = ({ kind, id, isClaimed }: Caller): string => (isClaimed ? `claimed-${kind}:${id}` : `${kind}:${id}`);
