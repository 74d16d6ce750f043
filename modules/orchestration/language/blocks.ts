/** The statements that hold a block. Each throws ExpressionProblem where its header does not fit. */
import { isPattern } from "../../../daemon/names.ts";
import type { Statement } from "./ast.ts";
import { conditionOf } from "./condition.ts";
import { isBlockKeyword, keywordOf } from "./grammar.ts";
import { clausesOf, expression, type Header, optionalExpression, variable } from "./header.ts";
import type { Line } from "./lines.ts";
import { type Phases, phaseKey } from "./phases.ts";
import type { Placeless } from "./statements.ts";
import type { Token } from "./tokens.ts";
import { ExpressionProblem } from "./translate.ts";

/** A line that begins with the keyword of a block, and has one: below it or after its colon. */
export interface Opened {
  readonly line: Line;
  readonly keyword: string;
  readonly header: Header;
  readonly body: readonly Line[];
  /** Is there something after the colon? */
  readonly inline: boolean;
}

export interface BlockReader {
  /** Those of the whole strategy. */
  readonly phases: Phases;
  body(lines: readonly Line[]): Statement[];
  warn(line: Line, message: string, offset: number): void;
}

export function openBlock(line: Line): Opened | undefined {
  const [first, second] = line.tokens;
  if (first?.kind !== "word") return undefined;
  const found = keywordOf(first.text.toUpperCase(), second?.text.toUpperCase());
  if (found === undefined || !isBlockKeyword(found.keyword)) return undefined;
  const words = line.tokens.slice(0, found.words);
  const loose = words.some(({ text }) => text !== text.toUpperCase());
  const rest = line.tokens.slice(found.words);
  const colon = headerColon(rest);
  const inline = colon < 0 ? [] : rest.slice(colon + 1);
  if (colon < 0 && (loose || line.children.length === 0)) return undefined;
  const tokens = colon < 0 ? rest : rest.slice(0, colon);
  const end = rest[colon]?.start ?? line.text.length;
  return {
    line,
    keyword: found.keyword,
    header: { text: line.text, tokens, end, loose },
    body: inline.length > 0 ? [inlineLine(line, inline), ...line.children] : line.children,
    inline: inline.length > 0,
  };
}

/** What follows the colon as a line of its own, in its place. */
function inlineLine(line: Line, tokens: readonly Token[]): Line {
  const start = tokens[0]?.start ?? 0;
  const text = line.text.slice(0, start).replace(/[^\n]/g, " ") + line.text.slice(start);
  return { ...line, text, tokens, indent: start - (line.text.lastIndexOf("\n", start) + 1), children: [] };
}

/** The colon that ends the header: the last token, or the first one outside of brackets that belongs to no `? :`, name or key. */
function headerColon(tokens: readonly Token[]): number {
  if (tokens.at(-1)?.text === ":") return tokens.length - 1;
  let questions = 0;
  for (const [index, { kind, text, depth, end }] of tokens.entries()) {
    if (kind !== "operator" || depth !== 0) continue;
    if (text === "?") questions++;
    else if (text === ":" && questions > 0) questions--;
    else if (text === ":" && tokens[index + 1]?.start !== end) return index;
  }
  return -1;
}

export function readBlock(opened: Opened, followers: readonly Opened[], reader: BlockReader): Placeless {
  const { keyword, header } = opened;
  const body = () => reader.body(opened.body);
  const condition = ({ header, line }: Opened, tokens: readonly Token[]) =>
    conditionOf(header, tokens, (message, offset) => reader.warn(line, message, offset));
  switch (keyword) {
    case "FIRST":
    case "THEN":
    case "FINALLY":
      nothing(header);
      return { kind: "group", keyword, body: body() };
    case "STAGE":
      return { kind: "group", keyword, name: title(header), body: body() };
    case "IF": {
      const branches = [opened, ...followers].filter((one) => one.keyword !== "ELSE");
      const last = followers.at(-1);
      return {
        kind: "if",
        branches: branches.map((one) => ({ condition: condition(one, one.header.tokens), body: reader.body(one.body) })),
        otherwise: last?.keyword === "ELSE" ? reader.body(last.body) : [],
      };
    }
    case "BRANCH":
      return branch(opened, reader);
    case "LOOP": {
      const { subject, FROM, TO } = clausesOf(header, [], ["FROM", "TO"]);
      const bounds = { from: expression(header, FROM), to: expression(header, TO) };
      return { kind: "loop", variable: variable(header, subject), ...bounds, body: body() };
    }
    case "FOREACH": {
      const { subject, IN } = clausesOf(header, [], ["IN"]);
      return { kind: "foreach", variable: variable(header, subject), list: expression(header, IN), body: body() };
    }
    case "WHILE": {
      const { subject, MAX } = clausesOf(header, ["MAX"]);
      const maximum = optionalExpression(header, MAX);
      return { kind: "while", condition: condition(opened, subject), maximum, body: body() };
    }
    case "PARALLEL": {
      const { subject, MAX } = clausesOf(header, ["MAX"]);
      if (subject.length > 0) throw new ExpressionProblem("a colon is expected", subject[0]?.start ?? header.end);
      return { kind: "parallel", maximum: optionalExpression(header, MAX), body: body() };
    }
    case "RETRY": {
      const { subject, BACKOFF } = clausesOf(header, ["TIMES", "BACKOFF"], []);
      return { kind: "retry", times: expression(header, subject), backoff: optionalExpression(header, BACKOFF), body: body() };
    }
    case "RACE":
      nothing(header);
      return { kind: "race", body: body() };
    case "ON":
      return { kind: "on", event: eventName(header, title(header)), body: body() };
    case "WHEN": {
      const name = title(header);
      if (name.includes(":")) return { kind: "on", event: eventName(header, name), body: body() };
      return { kind: "phase", keyword, phase: knownPhase(header, name, reader), body: body() };
    }
    case "DURING": {
      // Without a STAGE of that name the block is that phase itself.
      const name = title(header);
      const isItself = reader.phases.get(phaseKey(name)) === keyword;
      if (isItself) return { kind: "group", keyword: "STAGE", name, body: body() };
      return { kind: "phase", keyword, phase: name, body: body() };
    }
    case "AFTER":
      return { kind: "phase", keyword, phase: knownPhase(header, title(header), reader), body: body() };
    default:
      throw new ExpressionProblem(`${keyword} has nothing before it that it belongs to`, header.tokens[0]?.start ?? 0);
  }
}

function branch({ header, body }: Opened, reader: BlockReader): Placeless {
  const cases: { value: ReturnType<typeof expression>; body: Statement[] }[] = [];
  let otherwise: Statement[] = [];
  for (const line of body) {
    const opened = openBlock(line);
    if (opened?.keyword === "CASE") {
      cases.push({ value: expression(opened.header, opened.header.tokens), body: reader.body(opened.body) });
    } else if (opened?.keyword === "ELSE") {
      otherwise = reader.body(opened.body);
    } else {
      throw new ExpressionProblem("a BRANCH holds CASE and ELSE only", header.end);
    }
  }
  return { kind: "branch", value: expression(header, header.tokens), cases, otherwise };
}

function nothing({ tokens, end }: Header): void {
  if (tokens.length > 0) throw new ExpressionProblem("a colon is expected", tokens[0]?.start ?? end);
}

/** The name of a stage, phase or event: some words, `domain:event`, or a text in quotes; in lower case only the latter two. */
function title({ text, tokens, end, loose }: Header): string {
  const [first, last] = [tokens[0], tokens.at(-1)];
  if (first === undefined || last === undefined) throw new ExpressionProblem("a name is expected", end);
  if (tokens.length === 1 && first.kind === "string") return first.text.slice(1, -1);
  const name = text.slice(first.start, last.end);
  const fits = loose ? /^[a-z]\w*:[a-z*]\w*$/ : /^[\w:*. -]+$/;
  if (!fits.test(name)) throw new ExpressionProblem("a name is expected", first.start);
  return name;
}

function eventName({ tokens, end }: Header, name: string): string {
  if (isPattern(name)) return name;
  throw new ExpressionProblem("the name of an event is expected, as domain:action", tokens[0]?.start ?? end);
}

function knownPhase({ tokens, end }: Header, name: string, { phases }: BlockReader): string {
  if (phases.has(phaseKey(name))) return name;
  throw new ExpressionProblem(`no STAGE is named ${name}`, tokens[0]?.start ?? end);
}
