/** The statements of one line, by keyword. Each throws ExpressionProblem where the line does not fit. */
import type { Fields, Statement } from "./ast.ts";
import {
  byComma,
  clausesOf,
  equation,
  expression,
  fields,
  type Header,
  optionalExpression,
  optionalVariable,
  quoted,
  variable,
  variablePath,
} from "./header.ts";
import type { Token } from "./tokens.ts";
import { ExpressionProblem } from "./translate.ts";

/** A statement without its place, which the parser adds. */
export type Placeless = Statement extends infer Each ? (Each extends Statement ? Omit<Each, "position" | "source"> : never) : never;

export const lineStatements: Readonly<Record<string, (header: Header) => Placeless>> = {
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
    // `APPEND x e` has no word between the two: the path ends at the first name that no dot follows.
    const { tokens } = header;
    let end = 1;
    while (tokens[end]?.text === "." && tokens[end]?.start === tokens[end - 1]?.end) end += 2;
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
    const [domain, colon, action, ...data] = header.tokens;
    if (domain?.kind !== "word" || colon?.text !== ":" || action?.kind !== "word") {
      throw new ExpressionProblem("domain:action is expected", domain?.start ?? header.end);
    }
    const name = `${domain.text}:${action.text}`;
    const token: Token = { kind: "string", text: `"${name}"`, start: domain.start, end: action.end, depth: 0 };
    return {
      kind: "emit",
      event: expression(header, [token]),
      data: data.length === 0 ? undefined : expression(header, data),
    };
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
  RETURN: (header) => ({ kind: "return", value: sober(header) }),
  ABORT: (header) => ({ kind: "abort", reason: sober(header) }),
  ...unsupportedStatements(),
};

function assign(header: Header): Placeless {
  return { kind: "assign", assignments: [equation(header, header.tokens)] };
}

function together(left: Fields, right: Fields, header: Header): Fields {
  if (left.kind === "object" || right.kind === "object") throw new ExpressionProblem("an object stands alone", header.end);
  return { kind: "pairs", pairs: [...left.pairs, ...right.pairs] };
}

/** "Return home" and "Abort mission" are prose, RETURN home is not. */
function sober(header: Header) {
  if (header.loose && header.tokens.every(({ kind }) => kind === "word")) throw new ExpressionProblem("prose", header.end);
  return expression(header, header.tokens);
}

/** Statements of the language that are read, so that a pattern with them says so and is not played as if they were prose. */
function unsupportedStatements(): Record<string, (header: Header) => Placeless> {
  const statement =
    (keyword: string, check: (header: Header) => void) =>
    (header: Header): Placeless => {
      check(header);
      return { kind: "unsupported", keyword, body: [] };
    };
  const values = (header: Header, optional: string[], required: string[] = []) => {
    const { subject, AS, ...others } = clausesOf(header, optional, required);
    for (const tokens of Object.values(others)) optionalExpression(header, tokens);
    optionalVariable(header, AS);
    return subject;
  };
  const checks: Record<string, (header: Header) => void> = {
    QUERY: (header) => expression(header, values(header, ["AS"])),
    SPAWN: (header) => {
      const { subject, WITH, AS } = clausesOf(header, ["WITH", "AS"]);
      optionalVariable(header, AS);
      if (WITH === undefined) return expression(header, subject);
      variable(header, subject);
      return fields(header, WITH);
    },
    SEND: (header) => {
      const { subject, AWAIT } = clausesOf(header, ["AWAIT"]);
      if (subject[0]?.text !== "{") variable(header, subject.slice(0, 1));
      expression(header, subject[0]?.text === "{" ? subject : subject.slice(1));
      if (AWAIT === undefined) return;
      const reply = clausesOf({ ...header, tokens: AWAIT }, ["WITHIN"], ["REPLY", "AS"]);
      optionalExpression(header, reply.WITHIN);
      variable(header, reply.AS);
    },
    TERMINATE: (header) => sober(header),
    AWAIT: (header) => {
      const subject = values(header, ["WHERE", "WITHIN", "AS"]);
      const isEvent = subject.length === 3 && subject[1]?.text === ":";
      if (!isEvent) expression(header, subject);
    },
    CONSIDER: (header) => quoted(header, values(header, ["WITH"], ["IF"])),
    ASK: (header) => quoted(header, values(header, ["OPTIONS", "WITHIN"], ["AS"])),
    INCLUDE: (header) => quoted(header, values(header, ["IF"])),
    COMBINE: (header) => {
      const { subject, WITH } = clausesOf(header, [], ["WITH"]);
      quoted(header, subject);
      quoted(header, WITH ?? []);
    },
  };
  return Object.fromEntries(Object.entries(checks).map(([keyword, check]) => [keyword, statement(keyword, check)]));
}
