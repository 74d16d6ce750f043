/**
 * The scripted interpreter: walks the statements of a strategy, changes the variables of the run, and asks `Effects` for what
 * touches the world. Pure of I/O itself.
 *
 * It is durable by replay: a resumed run is played again from its start, and a step whose result is in the journal takes it
 * from there. So everything between two steps is deterministic; expressions that ask for the time or for chance are steps too.
 *
 * Reading order: place (what a statement is given), then the statements by families: control, acting, waiting, branches,
 * phases and listeners, composing.
 */
import { setImmediate as yieldToOthers } from "node:timers/promises";
import { CodedError } from "../../../daemon/errors.ts";
import type { Expressions } from "../../../daemon/module.ts";
import type { Reference } from "../contents.ts";
import type { Judgement, Statement, Strategy } from "../language/ast.ts";
import type { State } from "../language/direct.ts";
import type { Pattern } from "../pattern.ts";
import { acting } from "./acting.ts";
import { branches } from "./branches.ts";
import { composing } from "./composing.ts";
import { control } from "./control.ts";
import { limitExceeded, maximumStatements } from "./limits.ts";
import { closeListeners, openListeners, Returned } from "./listeners.ts";
import { phases } from "./phases.ts";
import { type Completion, type Family, type Performance, Place, type Strand } from "./place.ts";
import { createScope } from "./scope.ts";
import { createSteps, type StepsOptions } from "./steps.ts";
import { waiting } from "./waiting.ts";

export interface Play extends StepsOptions {
  readonly strategy: Strategy;
  /** The variables at the start. */
  readonly variables: State;
  readonly expressions: Pick<Expressions, "evaluate">;
  /** The name of the pattern. */
  readonly name?: string;
  /** Another pattern, as it is at the run's commit. @throws CodedError COMPOSITION_NOT_FOUND, PATTERN_INVALID */
  readonly patterns: (name: string, definition?: Reference) => Promise<Pattern & { readonly definition?: Reference }>;
  /** Judgement points and conditions in prose are effects, since somebody answers them. */
  readonly thinks?: boolean;
  /** Called at each judgement point, and each condition in prose, that is passed since nobody thinks. */
  readonly onJudgement?: (passed: Pick<Judgement, "text" | "position">) => void;
}

const statementsPerTurn = 200;

const players: Family<Statement["kind"]> = { ...control, ...acting, ...waiting, ...branches, ...phases, ...composing };

/**
 * @returns what the pattern RETURNs, else its variables at the end
 * @throws CodedError that ended the run; RunLost; the reason of the signal
 */
export async function play(options: Play): Promise<unknown> {
  const { strategy, variables, name } = options;
  const steps = createSteps(options);
  const scope = createScope(variables);
  let statements = 0;

  /** Every statement and every turn of a loop counts, and lets others have their turn. */
  async function turn({ thread }: Strand): Promise<void> {
    thread.signal.throwIfAborted();
    if (++statements > maximumStatements) throw limitExceeded("statements", maximumStatements);
    if (statements % statementsPerTurn === 0) await yieldToOthers();
  }

  async function one(statement: Statement, strand: Strand): Promise<Completion> {
    await turn(strand);
    const player = players[statement.kind] as (statement: Statement, at: Place) => Promise<Completion>;
    const { line } = statement.position;
    try {
      return await player(statement, new Place(run, strand, line));
    } catch (error) {
      throw strand.thread.signal.aborted ? error : withLine(error, line);
    }
  }

  async function playList(list: readonly Statement[], strand: Strand): Promise<Completion> {
    for (const statement of list) {
      const completion = await one(statement, strand);
      if (completion !== undefined) return completion;
    }
    return undefined;
  }

  /** A block; what it listens to ends with it. */
  async function playBlock(body: readonly Statement[], strand: Strand): Promise<Completion> {
    if (!body.some(({ kind }) => kind === "on" || kind === "phase")) return playList(body, strand);
    const listeners = openListeners(strand.listeners);
    try {
      return await playList(body, { ...strand, listeners });
    } finally {
      closeListeners(listeners);
    }
  }

  const run: Performance = { options, steps, play: playBlock, one, turn };
  const whole: Strand = { scope, thread: steps.main, listeners: openListeners(), received: new Map(), patterns: name ? [name] : [] };
  try {
    const completion = await playBlock(strategy.statements, whole);
    return completion === undefined ? scope.state : completion.result;
  } catch (error) {
    if (error instanceof Returned) return error.result;
    throw error;
  }
}

/** An error of a statement says where it stands in the text. */
function withLine(error: unknown, line: number): unknown {
  if (!(error instanceof CodedError) || "line" in error.details) return error;
  return new CodedError(error.code, error.message, { ...error.details, line }, { cause: error });
}
