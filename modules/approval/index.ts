/**
 * The domain `approval`: humans are asked, and decide. An agent asks; it never decides.
 *
 * Reading order: wire (requests and events), register (what is known), requests (asking, deciding, expiring), gate.
 */
import { z } from "zod";
import { commandsOf, defineModule } from "../../daemon/module.ts";
import { gateOf } from "./gate.ts";
import { Register } from "./register.ts";
import { type Approvals, assertOwn, decide, expire, request, schedulePending, withdraw } from "./requests.ts";
import * as wire from "./wire.ts";

const command = commandsOf<Approvals>();

export default defineModule<Approvals>({
  name: "approval",
  description: "Asks humans before something is done, or what they think, and keeps what they decided.",
  commands: {
    "approval:request": command({
      description: "Asks a human to approve exactly this action, or a question; it waits at no cost until it is decided or expires.",
      input: wire.approvalRequest,
      output: wire.approval,
      handle: (asked, { state, caller, meta }) => request(state, asked, caller, meta),
    }),
    "approval:list": command({
      description: "Lists what was asked, the latest first.",
      reads: true,
      input: z.strictObject({
        state: wire.approvalState.optional(),
        run_id: z.string().optional(),
        agent_id: z.string().optional(),
        request: z.string().optional().describe("the id of the message that asked; of a step, run/step"),
        limit: z.number().int().min(1).max(1000).default(100),
      }),
      output: z.object({ approvals: z.array(wire.approval) }),
      async handle({ limit, ...wanted }, { state: { register }, signal }) {
        await register.current(signal);
        const approvals = register
          .all()
          .filter((one) => Object.entries(wanted).every(([key, value]) => value === undefined || one[key as keyof typeof one] === value))
          .sort((left, right) => (left.id < right.id ? 1 : -1))
          .slice(0, limit);
        return { approvals };
      },
    }),
    "approval:info": command({
      description: "Tells what was asked, and how it was decided.",
      reads: true,
      input: z.strictObject({ id: wire.approvalId }),
      output: wire.approval,
      handle: ({ id }, { state: { register }, signal }) => register.find(id, signal),
    }),
    "approval:decide": command({
      description: "Decides on exactly the action that `hash` names; humans and their programs alone, never an agent.",
      input: wire.decideRequest,
      output: wire.approval,
      handle: decide,
    }),
    "approval:expire": command({
      description: "Ends a request whose time is up. The daemon's own schedule alone does it.",
      input: z.strictObject({ id: wire.approvalId }),
      output: wire.approval,
      handle({ id }, { state, caller, meta }) {
        assertOwn(caller);
        return expire(state, id, meta);
      },
    }),
  },
  events: {
    "approval:requested": { description: "A human is asked.", schema: wire.approval },
    "approval:decided": { description: "A human has decided.", schema: wire.approval },
    "approval:used": { description: "What was approved is about to be done.", schema: wire.approval },
    "approval:expired": { description: "Nobody decided in time.", schema: wire.approval },
    "approval:withdrawn": { description: "Whoever asked has ended, so that nobody needs to decide.", schema: wire.approval },
  },
  listens: {
    "orchestration:completed": ({ data }, { state, meta }) => withdraw(state, data as { run_id: string }, meta),
    "orchestration:failed": ({ data }, { state, meta }) => withdraw(state, data as { run_id: string }, meta),
    "orchestration:cancelled": ({ data }, { state, meta }) => withdraw(state, data as { run_id: string }, meta),
    "agent:completed": ({ data }, { state, meta }) => withdraw(state, data as { agent_id: string }, meta),
    "agent:failed": ({ data }, { state, meta }) => withdraw(state, data as { agent_id: string }, meta),
    "agent:terminated": ({ data }, { state, meta }) => withdraw(state, data as { agent_id: string }, meta),
  },
  async start(context): Promise<Approvals> {
    const register = await Register.open(context);
    const stopping = new AbortController();
    const approvals: Approvals = {
      context,
      register,
      async [Symbol.asyncDispose]() {
        stopping.abort();
        await scheduled;
        await register[Symbol.asyncDispose]();
      },
    };
    context.guard(gateOf(approvals));
    const scheduled = schedulePending(approvals, stopping.signal);
    return approvals;
  },
});
