/** The statements of one line, by keyword. Each throws ExpressionProblem where the line does not fit. */
import { agentStatements, eventIn } from "./agent-statements.ts";
import type { Fields, Statement } from "./ast.ts";
import { conditionOf, type Warn } from "./condition.ts";
import {
  byComma,
  clausesOf,
  equation,
  expression,
  fields,
  type Header,
  optionalExpression,
  optionalVariable,
  pathLength,
  quoted,
  sober,
  variable,
  variablePath,
} from "./header.ts";
import { ExpressionProblem } from "./translate.ts";

/** A statement without its place, which the parser adds. */
export type Placeless = Statement extends infer Each ? (Each extends Statement ? Omit<Each, "position" | "source"> : never) : never;

export type ReadLine = (header: Header, warn: Warn) => Placeless;

export const lineStatements: Readonly<Record<string, ReadLine>> = {
  STATE: assign,
  CALCULATE: assign,
  UPDATE: (header) => {
    const { subject, SET } = clausesOf(header, ["SET"]);
    if (SET === undefined) return assign(header);
    const target = variablePath(header, subject);
    const assignments = byComma(SET).map((part) => equation(header, part));
    if (assignments.length === 0) throw new ExpressionProblem("`path = value` is expected after SET", header.end);
    return { kind: "assign", assignments: assignments.map(({ path, value }) => ({ path: [...target, ...path], value })) };
  },
  APPEND: (header) => {
    // `APPEND x e` has no word between the two.
    const { tokens } = header;
    const end = pathLength(tokens);
    return { kind: "append", path: variablePath(header, tokens.slice(0, end)), value: expression(header, tokens.slice(end)) };
  },
  EMIT: (header) => {
    const { subject, WITH, AFTER, AS } = clausesOf(header, ["WITH", "AFTER", "AS"]);
    return {
      kind: "emit",
      event: quoted(header, subject),
      data: optionalExpression(header, WITH),
      after: optionalExpression(header, AFTER),
      as: optionalVariable(header, AS),
    };
  },
  EVENT: (header) => {
    const event = eventIn(header, header.tokens.slice(0, 3));
    if (event === undefined) throw new ExpressionProblem("domain:action is expected", header.tokens[0]?.start ?? header.end);
    const data = header.tokens.slice(3);
    return { kind: "emit", event, data: data.length === 0 ? undefined : expression(header, data) };
  },
  CALL: (header) => {
    const { subject, WITH, AS } = clausesOf(header, ["WITH", "AS"]);
    return {
      kind: "call",
      command: quoted(header, subject),
      input: optionalExpression(header, WITH),
      as: optionalVariable(header, AS),
    };
  },
  QUERY: (header) => {
    const { subject, AS } = clausesOf(header, ["AS"]);
    return { kind: "query", input: sober(header, subject), as: optionalVariable(header, AS) };
  },
  CONSIDER: (header, warn) => {
    const { subject, WITH, IF } = clausesOf(header, ["WITH"], ["IF"]);
    const command = quoted(header, subject);
    return { kind: "consider", command, input: optionalExpression(header, WITH), condition: conditionOf(header, IF, warn) };
  },
  RUN: (header) => {
    const { subject, WITH, AS } = clausesOf(header, ["WITH", "AS"]);
    return { kind: "run", tool: quoted(header, subject), input: optionalExpression(header, WITH), as: optionalVariable(header, AS) };
  },
  CHOOSE: (header) => {
    const { subject, FROM, FOR, AS } = clausesOf(header, ["FOR", "AS"], ["FROM"]);
    const slot = variable(header, subject);
    return {
      kind: "choose",
      slot,
      candidates: expression(header, FROM),
      context: optionalExpression(header, FOR),
      as: optionalVariable(header, AS) ?? slot,
    };
  },
  OUTCOME: (header) => ({
    kind: "outcome",
    selection: variable(header, header.tokens.slice(0, 1)),
    fields: fields(header, header.tokens.slice(1)),
  }),
  TRACK: (header) => {
    const { subject, WITH } = clausesOf(header, ["WITH"]);
    const what = fields(header, subject);
    return { kind: "track", fields: WITH === undefined ? what : together(what, fields(header, WITH), header) };
  },
  INCLUDE: (header, warn) => {
    const { subject, IF, AS } = clausesOf(header, ["IF", "AS"]);
    const condition = IF && conditionOf(header, IF, warn);
    return { kind: "include", pattern: quoted(header, subject), condition, as: optionalVariable(header, AS) };
  },
  COMBINE: (header) => {
    const { subject, WITH, AS } = clausesOf(header, ["AS"], ["WITH"]);
    return { kind: "combine", patterns: [quoted(header, subject), quoted(header, WITH ?? [])], as: optionalVariable(header, AS) };
  },
  RETURN: (header) => ({ kind: "return", value: sober(header, header.tokens) }),
  ABORT: (header) => ({ kind: "abort", reason: sober(header, header.tokens) }),
  ...agentStatements,
};

function assign(header: Header): Placeless {
  return { kind: "assign", assignments: [equation(header, header.tokens)] };
}

function together(left: Fields, right: Fields, header: Header): Fields {
  if (left.kind === "object" || right.kind === "object") throw new ExpressionProblem("an object stands alone", header.end);
  return { kind: "pairs", pairs: [...left.pairs, ...right.pairs] };
}
