/** The statements by which agents and people are asked, told and waited for. Each throws ExpressionProblem where the line does not fit. */
import type { Field } from "./ast.ts";
import {
  clausesOf,
  expression,
  fields,
  type Header,
  optionalExpression,
  optionalVariable,
  pathLength,
  quoted,
  sober,
  variable,
} from "./header.ts";
import type { ReadLine } from "./statements.ts";
import type { Token } from "./tokens.ts";
import { ExpressionProblem } from "./translate.ts";

export const agentStatements: Readonly<Record<"SPAWN" | "SEND" | "TERMINATE" | "AWAIT" | "ASK", ReadLine>> = {
  SPAWN: (header) => {
    const { subject, WITH, AS } = clausesOf(header, ["WITH", "AS"]);
    if (WITH === undefined) return { kind: "spawn", fields: object(header, subject), as: optionalVariable(header, AS) };
    if (AS !== undefined) throw new ExpressionProblem("the agent has a name before WITH already", AS[0]?.start ?? header.end);
    return { kind: "spawn", fields: fields(header, WITH), as: variable(header, subject) };
  },
  SEND: (header) => {
    const { subject, AWAIT } = clausesOf(header, ["AWAIT"]);
    const what = { kind: "send", fields: subject[0]?.text === "{" ? object(header, subject) : message(header, subject) } as const;
    if (AWAIT === undefined) return what;
    const { REPLY, subject: between, WITHIN, AS } = clausesOf({ ...header, tokens: AWAIT }, ["WITHIN", "AS"], ["REPLY"]);
    const extra = [...between, ...(REPLY ?? [])][0];
    if (extra !== undefined) throw new ExpressionProblem("AWAIT REPLY [WITHIN 30s] [AS name] is expected", extra.start);
    return { ...what, reply: { within: optionalExpression(header, WITHIN) }, as: optionalVariable(header, AS) };
  },
  TERMINATE: (header) => ({ kind: "terminate", agents: sober(header, header.tokens) }),
  AWAIT: (header) => {
    const { subject, WHERE, WITHIN, AS } = clausesOf(header, ["WHERE", "WITHIN", "AS"]);
    return {
      kind: "await",
      what: eventIn(header, subject) ?? sober(header, subject),
      where: optionalExpression(header, WHERE),
      within: optionalExpression(header, WITHIN),
      as: optionalVariable(header, AS),
    };
  },
  ASK: (header) => {
    const { subject, OPTIONS, WITHIN, AS } = clausesOf(header, ["OPTIONS", "WITHIN"], ["AS"]);
    const question = quoted(header, subject);
    return {
      kind: "ask",
      question,
      options: optionalExpression(header, OPTIONS),
      within: optionalExpression(header, WITHIN),
      as: variable(header, AS),
    };
  },
};

function object(header: Header, tokens: readonly Token[]) {
  const [first] = tokens;
  if (first?.text !== "{") throw new ExpressionProblem("an object or WITH is expected", first?.start ?? header.end);
  return fields(header, tokens);
}

/** `x e`, or `x.path e`: to whom, and what. */
function message(header: Header, tokens: readonly Token[]) {
  const end = pathLength(tokens);
  if (tokens[0]?.kind !== "word") throw new ExpressionProblem("the name of an agent is expected", tokens[0]?.start ?? header.end);
  const pairs: Field[] = [
    { key: "to", value: expression(header, tokens.slice(0, end)) },
    { key: "message", value: expression(header, tokens.slice(end)) },
  ];
  return { kind: "pairs", pairs } as const;
}

/** `domain:action` without quotes. */
export function eventIn(header: Header, tokens: readonly Token[]) {
  const [domain, colon, action, ...others] = tokens;
  const fits = domain?.kind === "word" && colon?.text === ":" && (action?.kind === "word" || action?.text === "*") && others.length === 0;
  if (!fits || action === undefined) return undefined;
  const token: Token = { kind: "string", text: `"${domain.text}:${action.text}"`, start: domain.start, end: action.end, depth: 0 };
  return expression(header, [token]);
}
