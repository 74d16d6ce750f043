/** The domain `tool`: lists tools and calls them. A tool written for the daemon is one file in `library/`. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { isOwnId } from "../../daemon/events/message-ids.ts";
import { type Call, commandsOf, defineModule, type Module } from "../../daemon/module.ts";
import { callTool } from "./call.ts";
import { loadLibrary } from "./library.ts";
import type { Tool } from "./tool.ts";

interface State extends AsyncDisposable {
  readonly tools: ReadonlyMap<string, Tool>;
}

const command = commandsOf<State>();

/** Above the largest time limit of a tool, so that its own limit is the one that is reported. */
const deadline = 130;
const maximumTimeout = 120;

const outcome = { name: z.string(), duration_ms: z.number() };

const module: Module<State> = defineModule<State>({
  name: "tool",
  description: "Tools that agents, patterns and clients call.",
  commands: {
    "tool:list": command({
      description: "Lists the tools with the JSON Schemas of what they take and return.",
      reads: true,
      input: z.strictObject({}),
      output: z.object({
        tools: z.array(
          z.object({
            name: z.string(),
            description: z.string(),
            protocol: z.literal("js"),
            parameters: z.record(z.string(), z.unknown()),
            returns: z.record(z.string(), z.unknown()),
            idempotent: z.boolean(),
            timeout: z.number().describe("seconds"),
          }),
        ),
      }),
      handle: (_input, { state }) => ({ tools: [...state.tools.values()].map(describe) }),
    }),
    "tool:call": command({
      description: "Calls a tool. The caller needs the capability tool:NAME.",
      input: z.strictObject({
        name: z.string().min(1).max(64),
        arguments: z.record(z.string(), z.unknown()).default({}),
        idempotency_key: z.string().min(1).max(256).optional(),
        timeout: z.number().positive().max(maximumTimeout).optional().describe("seconds; default: the tool's own limit"),
      }),
      output: z.object({ result: z.unknown(), cached: z.boolean(), duration_ms: z.number(), cost: z.number() }),
      deadline,
      capability: ({ name }) => `tool:${name}`,
      async handle({ name, arguments: given, idempotency_key: idempotencyKey, timeout }, call) {
        assertMayGive(idempotencyKey, call);
        const tool = call.state.tools.get(name);
        if (tool === undefined) throw new CodedError("TOOL_NOT_FOUND", `There is no tool ${name}.`, { name });
        const begun = performance.now();
        const duration = () => Math.round((performance.now() - begun) * 1_000) / 1_000;
        try {
          const result = await callTool(tool, {
            arguments: given,
            idempotencyKey,
            timeout,
            signal: call.signal,
            isOwnFile: call.context.isOwnFile,
          });
          const duration_ms = duration();
          await record("tool:completed", { name, duration_ms, cached: false, cost: 0 }, call);
          return { result, cached: false, duration_ms, cost: 0 };
        } catch (error) {
          const { code, message } = error instanceof CodedError ? error : new CodedError("REQUEST_TIMEOUT", "The call was cancelled.");
          if (code !== "REQUEST_INVALID")
            await record("tool:failed", { name, duration_ms: duration(), code, message: message.slice(0, 500) }, call);
          throw error;
        }
      },
    }),
  },
  events: {
    "tool:completed": {
      description: "A tool answered.",
      schema: z.object({ ...outcome, cached: z.boolean(), cost: z.number() }),
    },
    "tool:failed": {
      description: "A tool failed or reached its time limit.",
      schema: z.object({ ...outcome, code: z.string(), message: z.string() }),
    },
  },
  async start() {
    return { tools: await loadLibrary(Object.keys(module.commands)), async [Symbol.asyncDispose]() {} };
  },
});

export default module;

/** A tool that knows the key of a step already would not do the step. @throws CodedError REQUEST_INVALID */
function assertMayGive(key: string | undefined, { caller, meta }: Call<State>): void {
  if (key === undefined || key === meta.id || caller.kind === "module" || !isOwnId(key)) return;
  throw new CodedError("REQUEST_INVALID", "tool:call: idempotency_key: one of this form is given to the steps of runs alone", { key });
}

const describe = ({ name, description, parameters, returns, idempotent, timeout }: Tool) => ({
  name,
  description,
  protocol: "js" as const,
  parameters: z.toJSONSchema(parameters, { io: "input" }),
  returns: z.toJSONSchema(returns),
  idempotent,
  timeout,
});

/** The effect has happened by now: a log that is away must not turn its result into an error, which would invite a repetition. */
async function record(event: string, data: unknown, { context, meta }: Call<State>) {
  try {
    await context.emit(event, data, meta);
  } catch (error) {
    context.log.error({ error, event }, "the outcome of a tool call could not be recorded");
  }
}
