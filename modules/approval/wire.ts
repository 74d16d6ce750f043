/**
 * What a human is asked and how it was decided: the requests, replies and events of the domain `approval`. Pure.
 *
 * A question (`ASK`) is an action like any other: `{ask: "…"}`. A decision is bound to the SHA-256 of the exact action, as
 * canonical JSON (RFC 8785): of another hash it is refused. An action that the human edited is hashed again.
 */
import { z } from "zod";

export const approvalId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "expected the id of a request for approval");
export const hash = z.string().regex(/^[0-9a-f]{64}$/, "expected the hash of the action");
const id = approvalId;

export const approvalState = z.enum(["pending", "approved", "denied", "expired", "withdrawn"]);

/** Idempotent by the id of the message that asks (`meta.id`): asked again, it answers the same request. */
export const approvalRequest = z.strictObject({
  action: z.record(z.string(), z.unknown()).describe("what is to be done, exactly: for a command {command, input}, for a question {ask}"),
  reason: z.string().max(2000).optional(),
  options: z.array(z.unknown()).max(100).optional().describe("answers to choose from, beside approve and deny"),
  within: z.number().positive().max(31_536_000).optional().describe("seconds until it expires; default: a day"),
  run_id: z.string().optional(),
  agent_id: z.string().optional(),
  for: z.string().optional().describe("the capability that makes approval necessary: a command, tool:NAME or emit:NAME"),
});

export const approval = z.object({
  id,
  request: z.string().describe("id of the message that asked"),
  state: approvalState,
  action: z.record(z.string(), z.unknown()),
  hash,
  reason: z.string().optional(),
  options: z.array(z.unknown()).optional(),
  run_id: z.string().optional(),
  agent_id: z.string().optional(),
  for: z.string().optional(),
  requested_at: z.string(),
  expires_at: z.string(),
  decided_at: z.string().optional(),
  by: z.string().optional(),
  decision: z.enum(["approve", "deny", "option"]).optional(),
  option: z.unknown().optional().describe("the chosen one"),
  decided_action: z.record(z.string(), z.unknown()).optional().describe("as the human edited it; absent = as it was asked"),
  decided_hash: hash.optional(),
  decided_reason: z.string().optional(),
  used_at: z.string().optional().describe("when what was approved began to be done"),
});
export type Approval = z.output<typeof approval>;

export const decideRequest = z.strictObject({
  id,
  hash: hash.describe("of the action that is decided on, as it was shown"),
  decision: z.enum(["approve", "deny", "option"]),
  option: z.unknown().optional().describe("one of the options, for the decision `option`; to a question without options, the answer"),
  edit: z.record(z.string(), z.unknown()).optional().describe("do this instead of the action that was asked"),
  by: z.string().min(1).max(200),
  reason: z.string().max(2000).optional(),
});
