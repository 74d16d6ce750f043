/** Stands before what an agent may do only with a human's approval. */
import { CodedError } from "../../daemon/errors.ts";
import type { Guard } from "../../daemon/module.ts";
import { hashOf } from "./canonical.ts";
import { type Approvals, request, use } from "./requests.ts";

/**
 * Lets the very call through that was approved: the same message (`meta.id`), with the same action, or as the human edited it.
 * Any other is refused, and a human asked. An approval is for one message, so it cannot be used twice.
 */
export const gateOf =
  (approvals: Approvals): Guard =>
  async ({ command, input, target, caller, meta }) => {
    // To ask a human needs no human's approval.
    if (command === "approval:request") return;
    const action = { command, input };
    const asked =
      approvals.register.askedBy(meta.id) ??
      (await request(approvals, { action, for: target, reason: `${caller.id} needs ${target}` }, caller, meta));
    const { id, hash, state, decided_hash, decided_reason } = asked;
    const about = { approval: id, state, target, hash };
    if (state === "pending") {
      throw new CodedError("APPROVAL_REQUIRED", `${caller.id} may use ${target} once a human has approved it (approval:decide).`, about);
    }
    if (state !== "approved") {
      throw new CodedError("APPROVAL_DENIED", `${caller.id} may not use ${target}: it is ${state}. ${decided_reason ?? ""}`.trim(), about);
    }
    if (hashOf(action) !== (decided_hash ?? hash)) {
      throw new CodedError("APPROVAL_MISMATCH", "What was approved is another action; approval:info tells which.", about);
    }
    await use(approvals, asked, meta);
  };
