/** All kinds of policies by name. */
import { CodedError } from "../../../daemon/errors.ts";
import { bestSoFar } from "./best-so-far.ts";
import { kto } from "./kto.ts";
import { linucb } from "./linucb.ts";
import type { PolicyKind } from "./policy.ts";
import { reinforce } from "./reinforce.ts";
import { thompson } from "./thompson.ts";
import { uniform } from "./uniform.ts";

/** They learn from each outcome as it comes, and need no proof to be asked for. */
export const onlineKinds: Readonly<Record<string, PolicyKind>> = { uniform, best_so_far: bestSoFar, linucb, thompson };

export const kinds: Readonly<Record<string, PolicyKind>> = { ...onlineKinds, kto, reinforce };

export const unknownPolicy = (policy: string): CodedError =>
  new CodedError("POLICY_UNKNOWN", `There is no policy ${policy}; there are ${Object.keys(kinds).join(", ")}.`, { policy });
