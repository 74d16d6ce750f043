/** Arbitrary YAML texts as people write them: comments, blank lines, quotes, block and flow styles, odd indentation. */
import fc from "fast-check";

const word = fc.constantFrom("alpha", "beta", "gamma", "delta", "x-1", "two words", "it's", "yes", "1.0", "a: b", "#no", "ünï");
const key = fc.constantFrom("name", "tags", "strategy", "a", "b", "c", "deep", "with space", "k.ey", "0");
const comment = fc.constantFrom("", "", "", " # note", "   # aside");
const before = fc.constantFrom("", "", "", "# above\n", "\n", "\n# one\n# two\n");

const scalar: fc.Arbitrary<string> = fc.oneof(
  word.filter((text) => !/[:#]/.test(text)),
  word.map((text) => JSON.stringify(text)),
  word.map((text) => `'${text.replaceAll("'", "''")}'`),
  fc.constantFrom("1", "0.50", "true", "null", "~", "2026-01-01"),
);
const flow: fc.Arbitrary<string> = fc.oneof(
  fc.array(scalar, { maxLength: 3 }).map((items) => `[${items.join(", ")}]`),
  fc.array(scalar, { maxLength: 2 }).map((items) => `{ ${items.map((item, at) => `f${at}: ${item}`).join(", ")} }`),
);
const blockText = fc
  .record({
    header: fc.constantFrom("|", "|-", "|+", ">", ">-"),
    lines: fc.array(fc.constantFrom("STATE x = 1", "  deeper # no comment", "", "RETURN {{x}}", "key: value"), {
      minLength: 1,
      maxLength: 6,
    }),
    step: fc.constantFrom(2, 4),
  })
  .filter(({ lines }) => !/^\s|^$/.test(lines[0] ?? ""));

/** What stands behind `key:` or `-`, with its newline; the margin is the column of the entry. */
type Value = (margin: number) => string;

const value = (depth: number): fc.Arbitrary<Value> => {
  const leaves: fc.Arbitrary<Value>[] = [
    fc.tuple(scalar, comment).map(
      ([text, note]): Value =>
        () =>
          ` ${text}${note}\n`,
    ),
    fc.tuple(flow, comment).map(
      ([text, note]): Value =>
        () =>
          ` ${text}${note}\n`,
    ),
    blockText.map(
      ({ header, lines, step }): Value =>
        (margin) => {
          const indented = lines.map((line) => (line === "" ? "" : `${" ".repeat(margin + step)}${line}`));
          return ` ${header}\n${indented.join("\n")}\n`;
        },
    ),
    comment.map(
      (note): Value =>
        () =>
          `${note}\n`,
    ),
  ];
  if (depth === 0) return fc.oneof(...leaves);
  const map = fc.tuple(fields(depth - 1), comment, fc.constantFrom(2, 3, 4)).map(
    ([render, note, step]): Value =>
      (margin) =>
        `${note}\n${render(margin + step)}`,
  );
  const list = fc.tuple(fc.array(fc.tuple(before, value(depth - 1)), { minLength: 1, maxLength: 3 }), fc.constantFrom(0, 2)).map(
    ([items, step]): Value =>
      (margin) => {
        const at = margin + step;
        return `\n${items.map(([above, render]) => `${indent(above, at)}${" ".repeat(at)}-${render(at)}`).join("")}`;
      },
  );
  return fc.oneof({ weight: 3, arbitrary: fc.oneof(...leaves) }, { weight: 2, arbitrary: fc.oneof(map, list) });
};

const fields = (depth: number): fc.Arbitrary<(margin: number) => string> =>
  fc
    .uniqueArray(fc.tuple(before, key, value(depth)), { selector: ([, name]) => name, minLength: 1, maxLength: 4 })
    .map(
      (entries) => (margin) =>
        entries.map(([above, name, render]) => `${indent(above, margin)}${" ".repeat(margin)}${quoted(name)}:${render(margin)}`).join(""),
    );

const quoted = (name: string): string => (name === "0" ? '"0"' : name);
const indent = (text: string, margin: number): string => text.replaceAll(/^(?=[^\n])/gm, " ".repeat(margin));

/** A block map of up to four keys, three levels deep. */
export const yamlText: fc.Arbitrary<string> = fc
  .tuple(fc.constantFrom("", "# head\n\n", "---\n"), fields(2), fc.constantFrom("", "# end\n", "\n"))
  .map(([head, render, tail]) => head + render(0) + tail);

/** Plain JSON as a modification brings it. */
export const jsonValue: fc.Arbitrary<unknown> = fc.oneof(
  word,
  fc.constantFrom(
    "line one\nline two\n",
    "no end\nof line",
    "ends twice\n\n",
    "  first is indented\nx",
    3,
    0.5,
    true,
    null,
    "",
    "- a",
    "[",
    " x ",
  ),
  fc.array(word, { maxLength: 3 }),
  fc.dictionary(key, fc.oneof(word, fc.integer(), fc.array(word, { maxLength: 2 })), { maxKeys: 3, noNullPrototype: true }),
);
