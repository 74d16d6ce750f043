/** What a tool in `library/` is: one file that default-exports `defineTool({...})`, named as the file is. */
import type { z } from "zod";

export interface ToolRun {
  /** Aborted at the tool's time limit, and when the caller gives up. */
  readonly signal: AbortSignal;
  /** The same across attempts at one effect; undefined when the caller gave none. */
  readonly idempotencyKey: string | undefined;
  /** The daemon's own files are not to be opened by a tool. */
  isOwnFile(path: string): Promise<boolean>;
}

export interface Tool<Parameters extends z.ZodType = z.ZodType, Returns extends z.ZodType = z.ZodType> {
  /** `[a-z][a-z0-9_]*` */
  readonly name: string;
  readonly description: string;
  readonly parameters: Parameters;
  readonly returns: Returns;
  /** May it be repeated when the outcome of an attempt is unknown? */
  readonly idempotent: boolean;
  /** Seconds until a call is aborted. */
  readonly timeout: number;
  run(parameters: z.output<Parameters>, run: ToolRun): z.input<Returns> | Promise<z.input<Returns>>;
}

/** Types a tool's default export. */
export const defineTool = <Parameters extends z.ZodType, Returns extends z.ZodType>(tool: Tool<Parameters, Returns>): Tool =>
  tool as unknown as Tool;
