/** The functions that patterns have beside JSONata's, written in JSONata. */

/** Each takes its arguments already translated; `where` is the condition of `EXTRACT(list WHERE e, field)`. */
export interface PatternFunction {
  readonly minimum: number;
  readonly maximum: number;
  readonly write: (parameters: readonly string[], where?: string) => string;
}

const native = (name: string): PatternFunction => ({ minimum: 1, maximum: 1, write: ([list]) => `$${name}(${list})` });

// An argument in parentheses is flattened into the array around it, so one value and a list of values mean the same.
const asList = (list: string | undefined) => `[(${list})]`;
const inScopeOf = (item: string, expression: string | undefined) => `${item}.(${expression})`;
const filter = (list: string | undefined, condition: string | undefined) =>
  `[$filter(${asList(list)}, function($item) { ${inScopeOf("$item", condition)} })]`;
const select = (operator: ">" | "<"): PatternFunction => ({
  minimum: 2,
  maximum: 2,
  write: ([list, field]) =>
    `$reduce(${asList(list)}, function($best, $item) { ${inScopeOf("$item", field)} ${operator} ${inScopeOf("$best", field)} ? $item : $best })`,
});

export const patternFunctions: Readonly<Record<string, PatternFunction>> = {
  LENGTH: {
    minimum: 1,
    maximum: 1,
    write: ([value]) => `(function($value) { $type($value) = "string" ? $length($value) : $count($value) })(${value})`,
  },
  SUM: native("sum"),
  AVERAGE: native("average"),
  MIN: native("min"),
  MAX: native("max"),
  COUNT: native("count"),
  SORT: native("sort"),
  UNIQUE: native("distinct"),
  DISTINCT: native("distinct"),
  VARIANCE: {
    minimum: 1,
    maximum: 1,
    write: ([list]) =>
      `(function($list) { ( $mean := $average($list); $average($map($list, function($value) { $power($value - $mean, 2) })) ) })(${asList(list)})`,
  },
  RANGE: {
    minimum: 1,
    maximum: 2,
    write: ([first, last]) => (last === undefined ? `($max(${first}) - $min(${first}))` : `[${first}..${last}]`),
  },
  FILTER: { minimum: 2, maximum: 2, write: ([list, condition]) => filter(list, condition) },
  EXTRACT: {
    minimum: 2,
    maximum: 2,
    write: ([list, field], where) => `[${inScopeOf(where === undefined ? asList(list) : filter(list, where), field)}]`,
  },
  SELECT_MAX: select(">"),
  SELECT_MIN: select("<"),
  GROUP_BY: {
    minimum: 2,
    maximum: 3,
    write: ([list, key, aggregate]) => `${asList(list)}{ $string(${key}): ${aggregate ?? "[$]"} }`,
  },
};
