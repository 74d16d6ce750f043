/**
 * Reads the strategy text of a pattern (docs/patterns.md has the grammar for users). Never fails: a line that is no statement is
 * a judgement point; one that begins like a statement and does not fit is a judgement point with a warning.
 */
import { bodiesOf, type Judgement, type Statement, type Strategy, type Warning } from "./ast.ts";
import { type Opened, openBlock, readBlock } from "./blocks.ts";
import { checkedTogether } from "./expression.ts";
import { isBlockKeyword, keywordOf, suggestionFor } from "./grammar.ts";
import { type Line, positionIn, readLines } from "./lines.ts";
import { type Phases, phasesIn } from "./phases.ts";
import { lineStatements, type ReadLine } from "./statements.ts";
import { type Token, tokenize } from "./tokens.ts";
import { ExpressionProblem } from "./translate.ts";

/** What is known of the whole strategy while a line is read. */
interface Reading {
  readonly warnings: Warning[];
  readonly phases: Phases;
}

export const parseStrategy = (source: string): Strategy => checkedTogether(() => readStrategy(source));

function readStrategy(source: string): Strategy {
  const warnings: Warning[] = [];
  const lines = readLines(source, ([first, second]) => first !== undefined && keywordOf(first.text, second?.text) !== undefined);
  const statements = parseLines(lines, { warnings, phases: phasesIn(lines) });
  warnings.sort((left, right) => left.position.line - right.position.line || left.position.column - right.position.column);
  return { statements, warnings };
}

function parseLines(lines: readonly Line[], reading: Reading): Statement[] {
  const statements: Statement[] = [];
  /** Where the statements begin that the next ON ERROR guards. */
  let guarded = 0;
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index] as Line;
    const opened = openBlock(line);
    if (opened === undefined) {
      statements.push(...parseLine(line, reading));
    } else if (opened.keyword === "ON ERROR" && guarded < statements.length) {
      const body = statements.splice(guarded);
      statements.push({ kind: "attempt", ...placeOf(line), body, handler: parseLines(opened.body, reading) });
      guarded = statements.length;
    } else {
      const followers = opened.keyword === "IF" ? elseBlocks(lines, index + 1) : [];
      const statement = parseBlock(line, opened, followers, reading);
      statements.push(statement);
      if (statement.kind === "if") index += followers.length;
    }
  }
  return statements;
}

/** The ELIFs and the ELSE that follow the block of an IF. */
function elseBlocks(lines: readonly Line[], from: number): Opened[] {
  const found: Opened[] = [];
  for (const line of lines.slice(from)) {
    const opened = openBlock(line);
    const isElif = opened?.keyword === "ELIF" && opened.header.tokens.length > 0;
    const isElse = opened?.keyword === "ELSE" && opened.header.tokens.length === 0;
    if (opened === undefined || !(isElif || isElse)) break;
    found.push(opened);
    if (opened.keyword === "ELSE") break;
  }
  return found;
}

function parseBlock(line: Line, opened: Opened, followers: readonly Opened[], reading: Reading): Statement {
  const { warnings } = reading;
  const before = warnings.length;
  try {
    const read = readBlock(opened, followers, {
      phases: reading.phases,
      body: (lines) => parseLines(lines, reading),
      warn: (where, message, offset) => warnings.push({ message, position: positionIn(where, offset) }),
    });
    const statement: Statement = { ...read, ...placeOf(line) };
    // "Then: look around" and "If in doubt, say why: it helps" are prose, unless all of it is a statement.
    const isProse =
      opened.header.loose &&
      opened.inline &&
      bodiesOf(statement)
        .flat()
        .some(({ kind }) => kind === "judgement");
    if (!isProse) return statement;
    warnings.length = before;
    return judgement(line, reading, { guards: false });
  } catch (problem) {
    if (!(problem instanceof ExpressionProblem)) throw problem;
    warnings.length = before;
    if (!opened.header.loose) warnings.push(warningOf(line, problem, opened.keyword));
    const inOrder = ["FIRST", "THEN", "FINALLY", "STAGE"].includes(opened.keyword);
    return judgement(line, reading, { guards: !inOrder });
  }
}

function parseLine(line: Line, reading: Reading): Statement[] {
  const { warnings } = reading;
  const [first, second] = line.tokens;
  const capitals = first?.text.toUpperCase() ?? "";
  const keyword = first?.kind === "word" ? keywordOf(capitals, second?.text.toUpperCase())?.keyword : undefined;
  if (first === undefined || keyword === undefined || isBlockKeyword(keyword)) return [unread(line, reading)];

  const loose = first.text !== capitals;
  const read = (text: string, tokens: readonly Token[]) => ({
    ...(lineStatements[keyword] as ReadLine)({ text, tokens: tokens.slice(1), end: text.length, loose }, (message, offset) => {
      // "Include "x" if you like" is prose: in lower case all of a line must read as a statement.
      if (loose) throw new ExpressionProblem(message, offset);
      warnings.push({ message, position: positionIn(line, offset) });
    }),
    ...placeOf(line),
  });
  if (line.children.length > 0) {
    const text = withContinuation(line);
    const whole = attempt(() => read(text, tokenize(text)));
    if (!(whole instanceof ExpressionProblem)) return [whole];
  }
  const statement = attempt(() => read(line.text, line.tokens));
  if (statement instanceof ExpressionProblem) {
    if (!loose) warnings.push(warningOf(line, statement, keyword));
    return [judgement(line, reading, { guards: false })];
  }
  const [child] = line.children;
  if (child === undefined) return [statement];
  if (loose) return [judgement(line, reading, { guards: false })];
  warnings.push({ message: `${keyword} has no block: what is indented below it is played after it`, position: placeOf(child).position });
  return [statement, ...parseLines(line.children, reading)];
}

/** A line that does not begin with a keyword, or with one that cannot stand here. */
function unread(line: Line, reading: Reading): Judgement {
  const word = line.tokens[0]?.text ?? "";
  if (/^[A-Z][A-Z_]{2,}$/.test(word) && word !== "REQUIRED") {
    reading.warnings.push({
      message: `${word} is not a statement here: the line is a judgement point`,
      position: positionIn(line, line.tokens[0]?.start ?? 0),
      suggestion: suggestionFor(word),
    });
  }
  return judgement(line, reading, { guards: conditional.test(line.text.trimStart()) });
}

/** Words that make the block below a line of prose depend on it. */
const conditional =
  /^(if|unless|when|whenever|while|until|once|after|before|during|on|in case|for each|for every|otherwise|else|should)\b/i;

function judgement(line: Line, { warnings, phases }: Reading, { guards }: { guards: boolean }): Judgement {
  const before = warnings.length;
  const body = parseLines(line.children, { warnings, phases });
  const isText = warnings.length === before && body.every((statement) => statement.kind === "judgement" && statement.body.length === 0);
  const text = isText ? withContinuation(line) : line.text;
  return {
    kind: "judgement",
    ...placeOf(line),
    text: text.replace(/^\s+/gm, "").replace(/\n+/g, "\n"),
    required: /\bREQUIRED\b/.test(text),
    guards: guards && !isText,
    body: isText ? [] : body,
  };
}

/** The line and those below it as one text, in which offsets still tell line and column. */
function withContinuation(line: Line): string {
  let text = line.text;
  let number = line.number + line.text.split("\n").length - 1;
  const add = (child: Line) => {
    text += "\n".repeat(child.number - number) + child.text;
    number = child.number + child.text.split("\n").length - 1;
    child.children.forEach(add);
  };
  line.children.forEach(add);
  return text;
}

const placeOf = (line: Line) => ({ position: positionIn(line, line.tokens[0]?.start ?? 0), source: line.text.trim() });

function warningOf(line: Line, problem: ExpressionProblem, keyword: string): Warning {
  return {
    message: `this ${keyword} cannot be read (${problem.message}): the line is a judgement point`,
    position: positionIn(line, Math.min(problem.offset, line.text.length)),
    suggestion: suggestionFor(keyword),
  };
}

function attempt<Result>(read: () => Result): Result | ExpressionProblem {
  try {
    return read();
  } catch (problem) {
    if (problem instanceof ExpressionProblem) return problem;
    throw problem;
  }
}
