/** What a pattern's strategy text becomes: a tree of statements with their places in the text. */
import type { Expression } from "./expression.ts";
import type { Position } from "./lines.ts";

export type { Expression } from "./expression.ts";
export type { Position } from "./lines.ts";

interface Node {
  readonly position: Position;
  /** The line as written; of a block, its header. */
  readonly source: string;
}

/** A condition that is no expression is prose: a matter for a model, false without one. */
export type Condition =
  | { readonly kind: "expression"; readonly expression: Expression }
  | { readonly kind: "prose"; readonly text: string };

export interface Field {
  readonly key: string;
  readonly value: Expression;
}

/** Named values of a statement: `key: e, key: e`, or one object. */
export type Fields = { readonly kind: "pairs"; readonly pairs: readonly Field[] } | { readonly kind: "object"; readonly value: Expression };

export interface Assignment {
  /** The variable, then the keys below it. */
  readonly path: readonly string[];
  readonly value: Expression;
}

type Body = readonly Statement[];

/** Text for a thinking player. With `guards`, its body runs only if that player says so (`Whenever it rains:`). */
export type Judgement = Node & {
  readonly kind: "judgement";
  readonly text: string;
  readonly required: boolean;
  readonly guards: boolean;
  readonly body: Body;
};

export type Statement =
  | Judgement
  | (Node & {
      readonly kind: "group";
      readonly keyword: "FIRST" | "THEN" | "FINALLY" | "STAGE";
      readonly name?: string;
      readonly body: Body;
    })
  | (Node & { readonly kind: "if"; readonly branches: readonly { condition: Condition; body: Body }[]; readonly otherwise: Body })
  | (Node & {
      readonly kind: "branch";
      readonly value: Expression;
      readonly cases: readonly { value: Expression; body: Body }[];
      readonly otherwise: Body;
    })
  | (Node & { readonly kind: "loop"; readonly variable: string; readonly from: Expression; readonly to: Expression; readonly body: Body })
  | (Node & { readonly kind: "foreach"; readonly variable: string; readonly list: Expression; readonly body: Body })
  | (Node & { readonly kind: "while"; readonly condition: Condition; readonly maximum?: Expression; readonly body: Body })
  | (Node & { readonly kind: "parallel"; readonly maximum?: Expression; readonly body: Body })
  /** Each statement of the body is a branch; the first to reach its end wins. */
  | (Node & { readonly kind: "race"; readonly body: Body })
  /** `ON event:` and `WHEN event:`: the body is played at each such event, until the block around it ends. */
  | (Node & { readonly kind: "on"; readonly event: string; readonly body: Body })
  /** WHEN: as the phase begins; DURING: too, and what it listens to ends with the phase; AFTER: as it has ended. */
  | (Node & { readonly kind: "phase"; readonly keyword: "WHEN" | "DURING" | "AFTER"; readonly phase: string; readonly body: Body })
  | (Node & { readonly kind: "retry"; readonly times: Expression; readonly backoff?: Expression; readonly body: Body })
  /** `ON ERROR:` and the statements before it in its block. */
  | (Node & { readonly kind: "attempt"; readonly body: Body; readonly handler: Body })
  | (Node & { readonly kind: "assign"; readonly assignments: readonly Assignment[] })
  | (Node & { readonly kind: "append"; readonly path: readonly string[]; readonly value: Expression })
  | (Node & {
      readonly kind: "emit";
      readonly event: Expression;
      readonly data?: Expression;
      readonly after?: Expression;
      readonly as?: string;
    })
  | (Node & { readonly kind: "call"; readonly command: Expression; readonly input?: Expression; readonly as?: string })
  | (Node & { readonly kind: "run"; readonly tool: Expression; readonly input?: Expression; readonly as?: string })
  | (Node & {
      readonly kind: "choose";
      readonly slot: string;
      readonly candidates: Expression;
      readonly context?: Expression;
      readonly as: string;
    })
  | (Node & { readonly kind: "outcome"; readonly selection: string; readonly fields: Fields })
  | (Node & { readonly kind: "track"; readonly fields: Fields })
  | (Node & { readonly kind: "return"; readonly value: Expression })
  | (Node & { readonly kind: "abort"; readonly reason: Expression })
  | (Node & { readonly kind: "query"; readonly input: Expression; readonly as?: string })
  /** The fields of `agent:spawn`. */
  | (Node & { readonly kind: "spawn"; readonly fields: Fields; readonly as?: string })
  /** The fields `to` (an agent or several) and `message`; `as` only with a reply. */
  | (Node & { readonly kind: "send"; readonly fields: Fields; readonly reply?: { readonly within?: Expression }; readonly as?: string })
  | (Node & { readonly kind: "terminate"; readonly agents: Expression })
  /** `what` is the name of an event, an agent or several, or `{event, from, min, max, within, partial}`. */
  | (Node & {
      readonly kind: "await";
      readonly what: Expression;
      /** Read inside the event's data; `$event` is the event, `$$` the run. */
      readonly where?: Expression;
      readonly within?: Expression;
      readonly as?: string;
    })
  | (Node & {
      readonly kind: "ask";
      readonly question: Expression;
      readonly options?: Expression;
      readonly within?: Expression;
      readonly as: string;
    })
  | (Node & { readonly kind: "consider"; readonly command: Expression; readonly input?: Expression; readonly condition: Condition })
  | (Node & { readonly kind: "include"; readonly pattern: Expression; readonly condition?: Condition; readonly as?: string })
  | (Node & { readonly kind: "combine"; readonly patterns: readonly [Expression, Expression]; readonly as?: string });

export interface Warning {
  readonly message: string;
  readonly position: Position;
  readonly suggestion?: string;
}

export interface Strategy {
  readonly statements: readonly Statement[];
  readonly warnings: readonly Warning[];
}

/** The blocks directly inside a statement, in the order of the text. */
export function bodiesOf(statement: Statement): readonly Body[] {
  switch (statement.kind) {
    case "if":
      return [...statement.branches.map(({ body }) => body), statement.otherwise];
    case "branch":
      return [...statement.cases.map(({ body }) => body), statement.otherwise];
    case "attempt":
      return [statement.body, statement.handler];
    default:
      return "body" in statement ? [statement.body] : [];
  }
}

/** A statement and all inside it, in the order of the text. */
export function* walk(statements: Body): Generator<Statement> {
  for (const statement of statements) {
    yield statement;
    for (const body of bodiesOf(statement)) yield* walk(body);
  }
}
