/** Asking, deciding, expiring: each is one event; which of them ends a request is decided by the log. */
import { isDeepStrictEqual } from "node:util";
import type { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { derivedId } from "../../daemon/events/message-ids.ts";
import type { Call, Caller, MessageMeta, ModuleContext } from "../../daemon/module.ts";
import { retry } from "../../daemon/retry.ts";
import { hashOf } from "./canonical.ts";
import type { Register } from "./register.ts";
import type { Approval, approvalRequest, decideRequest } from "./wire.ts";

/** The module's state. */
export interface Approvals extends AsyncDisposable {
  readonly context: ModuleContext;
  readonly register: Register;
}

type Asked = z.output<typeof approvalRequest>;

const day = 86_400; // seconds
/** Requests of one agent that may wait at the same time: nobody reads more. */
const mostPending = 100;
const expiryOf = (id: string): string => `${id}/expiry`;

/** Durable when it resolves. The request of a message that asked before is given again. */
export async function request({ context, register }: Approvals, asked: Asked, caller: Caller, meta: MessageMeta): Promise<Approval> {
  const known = register.askedBy(meta.id);
  if (known !== undefined) return known;
  const { action, within = day, run_id = meta.run, ...about } = asked;
  assertPatient(register, caller);
  const now = Date.now();
  const made: Approval = {
    id: context.newId(),
    request: meta.id,
    state: "pending",
    action,
    hash: hashOf(action),
    ...about,
    ...(run_id && { run_id }),
    // Nobody asks in the name of another.
    ...(caller.kind === "agent" && caller.id !== run_id && { agent_id: caller.id }),
    requested_at: new Date(now).toISOString(),
    expires_at: new Date(now + within * 1000).toISOString(),
  };
  const { duplicate } = await context.emit("approval:requested", made, withoutId(meta), { id: derivedId(meta.id, "approval") });
  if (duplicate) {
    await register.current(context.signal);
    return register.askedBy(meta.id) ?? made;
  }
  register.keep(made);
  await scheduleExpiry(context, made);
  return made;
}

/** @throws CodedError RUN_LIMIT_EXCEEDED */
function assertPatient(register: Register, { kind, id }: Caller): void {
  if (kind !== "agent" || register.pending().filter(({ agent_id, run_id }) => agent_id === id || run_id === id).length < mostPending)
    return;
  throw new CodedError("RUN_LIMIT_EXCEEDED", `${id} waits for ${mostPending} decisions of humans already.`, {
    limit: "approvals",
    allowed: mostPending,
  });
}

/** @throws CodedError CAPABILITY_DENIED, APPROVAL_NOT_FOUND, APPROVAL_DECIDED, APPROVAL_MISMATCH, REQUEST_INVALID */
export async function decide(
  { id, hash, decision, option, edit, by, reason }: z.output<typeof decideRequest>,
  { state: approvals, caller, meta, signal }: Call<Approvals>,
): Promise<Approval> {
  if (caller.kind !== "client") throw deniedTo(caller, "approval:decide", "humans and their programs alone decide");
  const asked = await approvals.register.find(id, signal);
  if (asked.state !== "pending") throw decided(asked);
  if (hash !== asked.hash) {
    throw new CodedError("APPROVAL_MISMATCH", "The hash is not that of the action that is asked for: read it again.", {
      id,
      hash: asked.hash,
    });
  }
  if (edit !== undefined && decision !== "approve") throw invalid("edit", "what is not approved cannot be edited");
  if (decision === "option") assertOption(asked, option);
  return end(
    approvals,
    {
      ...asked,
      state: decision === "deny" ? "denied" : "approved",
      decided_at: new Date().toISOString(),
      by,
      decision,
      ...(decision === "option" && { option }),
      ...(edit !== undefined && { decided_action: edit, decided_hash: hashOf(edit) }),
      ...(reason && { decided_reason: reason }),
    },
    "approval:decided",
    meta,
  );
}

function assertOption({ options }: Approval, option: unknown): void {
  if (option === undefined) throw invalid("option", "is required for the decision `option`");
  if (options === undefined || options.some((one) => isDeepStrictEqual(one, option))) return;
  throw invalid("option", `is not one of the options ${JSON.stringify(options)}`);
}

const invalid = (path: string, message: string) =>
  new CodedError("REQUEST_INVALID", `approval:decide: ${path}: ${message}`, { issues: [{ path, message }] });

/** Durable before what was approved is done, so that after a crash it is known whether it may have been. */
export async function use({ context, register }: Approvals, approved: Approval, meta: MessageMeta): Promise<void> {
  if (approved.used_at !== undefined) return;
  const used = { ...approved, used_at: new Date().toISOString() };
  await context.emit("approval:used", used, withoutId(meta), { id: `${approved.id}/used` });
  register.keep(used);
}

export async function expire(approvals: Approvals, id: string, meta: MessageMeta): Promise<Approval> {
  const asked = await approvals.register.find(id, approvals.context.signal);
  if (asked.state !== "pending") return asked;
  return end(approvals, { ...asked, state: "expired" }, "approval:expired", meta).catch((error: unknown) => {
    if (error instanceof CodedError && error.code === "APPROVAL_DECIDED") return approvals.register.get(id);
    throw error;
  });
}

/** What a run or an agent that has ended asked for is not needed any more. */
export async function withdraw(approvals: Approvals, ended: { run_id?: string; agent_id?: string }, meta: MessageMeta): Promise<void> {
  const { run_id, agent_id } = ended;
  await approvals.register.current(approvals.context.signal);
  for (const asked of approvals.register.pending()) {
    // The end of an agent's other runs is not its own.
    const asker = asked.run_id === undefined ? { of: asked.agent_id, ended: agent_id } : { of: asked.run_id, ended: run_id };
    if (asker.of === undefined || asker.of !== asker.ended) continue;
    await end(approvals, { ...asked, state: "withdrawn" }, "approval:withdrawn", meta).catch((error: unknown) => {
      if (!(error instanceof CodedError) || error.code !== "APPROVAL_DECIDED") throw error;
    });
  }
}

/** @throws CodedError APPROVAL_DECIDED when another event ended it first */
async function end({ context, register }: Approvals, ended: Approval, event: string, meta: MessageMeta): Promise<Approval> {
  const place = { ...withoutId(meta), ...(ended.run_id && { run: ended.run_id }), ...(ended.agent_id && { agent: ended.agent_id }) };
  const { duplicate } = await context.emit(event, ended, place, { id: `${ended.id}/ended` });
  if (duplicate) throw decided(register.get(ended.id));
  register.keep(ended);
  if (event !== "approval:expired") await cancelExpiry(context, ended.id);
  return ended;
}

const decided = ({ id, state }: Approval) =>
  new CodedError("APPROVAL_DECIDED", `The request ${id} is ${state === "pending" ? "being decided" : state} already.`, { id, state });

/** The time is kept by the server: it costs nothing here, and outlives the daemon. */
async function scheduleExpiry(context: ModuleContext, { id, expires_at }: Approval): Promise<void> {
  await context.call("event:emit", { event: "approval:expire", data: { id }, at: expires_at, id: expiryOf(id) });
}

/** A schedule that stays fires in vain. */
async function cancelExpiry(context: ModuleContext, id: string): Promise<void> {
  await context.call("event:cancel", { id: expiryOf(id) }).catch((error: unknown) => {
    context.log.debug({ approval: id, error }, "the expiry of a request could not be cancelled");
  });
}

/** The daemon may have stopped after it told of a request and before it kept its time. */
export async function schedulePending({ context, register }: Approvals, signal: AbortSignal): Promise<void> {
  for (const asked of register.pending()) {
    await retry(() => scheduleExpiry(context, asked), { signal, firstPause: 10 }).catch(() => {});
  }
}

/** @throws CodedError CAPABILITY_DENIED */
export function assertOwn(caller: Caller): void {
  if (caller.kind !== "module" || caller.id !== "approval") throw deniedTo(caller, "approval:expire", "the module itself does");
}

const deniedTo = ({ id }: Caller, target: string, why: string) =>
  new CodedError("CAPABILITY_DENIED", `${id} may not use ${target}: ${why}`, { caller: id, target });

const withoutId = ({ id: _, ...meta }: MessageMeta) => meta;
