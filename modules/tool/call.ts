import { CodedError } from "../../daemon/errors.ts";
import { issuesOf, parseInput, tellIssues } from "../../daemon/parse-input.ts";
import type { Tool } from "./tool.ts";

export interface ToolCall {
  readonly arguments: unknown;
  readonly idempotencyKey: string | undefined;
  /** Seconds; the tool's own limit when undefined. */
  readonly timeout: number | undefined;
  readonly signal: AbortSignal;
  isOwnFile(path: string): Promise<boolean>;
}

/**
 * Runs a tool within its time limit and checks what goes in and what comes out.
 * @throws CodedError REQUEST_INVALID, TOOL_FAILED (details.cause), REQUEST_TIMEOUT
 */
export async function callTool(tool: Tool, call: ToolCall): Promise<unknown> {
  const parsed = parseInput(tool.parameters, call.arguments);
  if (!parsed.success) {
    const issues = issuesOf(parsed.problems, "arguments");
    throw new CodedError("REQUEST_INVALID", `The arguments do not fit the tool ${tool.name}: ${tellIssues(issues)}`, { issues });
  }
  const seconds = call.timeout ?? tool.timeout;
  const limit = AbortSignal.timeout(seconds * 1_000);
  const signal = AbortSignal.any([limit, call.signal]);
  try {
    const run = { signal, idempotencyKey: call.idempotencyKey, isOwnFile: call.isOwnFile };
    return tool.returns.parse(await untilAborted(signal, async () => tool.run(parsed.data, run)));
  } catch (error) {
    if (call.signal.aborted) throw call.signal.reason;
    if (limit.aborted)
      throw new CodedError("REQUEST_TIMEOUT", `The tool ${tool.name} did not finish within ${seconds} s.`, { name: tool.name });
    const cause = error instanceof Error ? error.message : String(error);
    throw new CodedError("TOOL_FAILED", `The tool ${tool.name} failed: ${cause}`, { name: tool.name, cause }, { cause: error });
  }
}

/** Answers the abort at once, even where the work takes a while to notice it. */
async function untilAborted<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work(), promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
