/** Where a statement is played: what it sees, and what it may ask for. */
import type { Condition, Expression, Statement } from "../language/ast.ts";
import type { Answer, Effect } from "./effects.ts";
import { evaluate, isTrue } from "./evaluate.ts";
import type { Play } from "./interpreter.ts";
import { during, type Listeners } from "./listeners.ts";
import type { Scope } from "./scope.ts";
import type { Steps, Thread } from "./steps.ts";

/** How a list of statements ended: undefined = at its end. */
export type Completion = { readonly result: unknown } | undefined;

/** One strand of control. What runs beside others has a strand of its own. */
export interface Strand {
  readonly scope: Scope;
  readonly thread: Thread;
  readonly listeners: Listeners;
  /** AWAIT or ON → positions in the log of the events that it got. */
  readonly received: Map<Statement, Set<number>>;
  /** The patterns that are being played, each included by the one before. */
  readonly patterns: readonly string[];
}

/** What all places of one run share. */
export interface Performance {
  readonly options: Play;
  readonly steps: Steps;
  play(body: readonly Statement[], strand: Strand): Promise<Completion>;
  one(statement: Statement, strand: Strand): Promise<Completion>;
  /** Counts a turn of a loop, and lets others have theirs. */
  turn(strand: Strand): Promise<void>;
}

/** How the statements of some kinds are played. */
export type Family<Kind extends Statement["kind"]> = {
  readonly [Each in Kind]: (statement: Extract<Statement, { kind: Each }>, at: Place) => Promise<Completion>;
};

export class Place {
  readonly run: Performance;
  readonly strand: Strand;
  readonly line: number;

  constructor(run: Performance, strand: Strand, line: number) {
    this.run = run;
    this.strand = strand;
    this.line = line;
  }

  value(expression: Expression): Promise<unknown> {
    const { scope, thread } = this.strand;
    const compute = () => evaluate(expression, scope.state, this.run.options.expressions);
    return expression.volatile ? this.run.steps.value(thread, this.line, compute) : compute();
  }

  async optional(expression: Expression | undefined): Promise<unknown> {
    return expression === undefined ? undefined : this.value(expression);
  }

  /** A condition in prose is for who thinks to decide, else false. */
  async holds(condition: Condition): Promise<boolean> {
    if (condition.kind === "expression") return isTrue(await this.value(condition.expression));
    return (await this.judge({ about: "condition", text: condition.text, required: false }))?.holds === true;
  }

  /** @returns undefined when nobody in this run thinks: then it is noted and passed */
  async judge(question: { about: "condition" | "guard" | "point"; text: string; required: boolean }): Promise<Answer | undefined> {
    const { thinks, onJudgement } = this.run.options;
    if (thinks !== true) {
      onJudgement?.({ text: question.text, position: { line: this.line, column: 1 } });
      return undefined;
    }
    const asked = { ...question, line: this.line };
    const answer = (await this.step({ kind: "judge", ...asked, state: this.strand.scope.state })) as Answer;
    await this.step({ kind: "decide", question: asked, answer });
    return answer;
  }

  step(effect: Effect): Promise<unknown> {
    return during(this, "step", (thread) => this.run.steps.effect(thread, this.line, effect));
  }

  keep(name: string | undefined, result: unknown): void {
    if (name !== undefined) this.strand.scope.set([name], result);
  }

  play(body: readonly Statement[]): Promise<Completion> {
    return this.run.play(body, this.strand);
  }

  /** Plays a block that has a variable for itself. */
  async playWith(name: string, value: unknown, body: readonly Statement[]): Promise<Completion> {
    await this.run.turn(this.strand);
    const restore = this.strand.scope.shadow(name, value);
    try {
      return await this.play(body);
    } finally {
      restore();
    }
  }

  /** Positions of the events that the statement got, to which more are added. */
  received(statement: Statement): Set<number> {
    const known = this.strand.received.get(statement) ?? new Set();
    this.strand.received.set(statement, known);
    return known;
  }
}
