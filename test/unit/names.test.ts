import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { assertName, isName, isPattern, matches, overlap, withoutOverlap } from "../../daemon/names.ts";

const part = fc.constantFrom("a", "b", "c");
const name = fc.tuple(part, part).map(([domain, action]) => `${domain}:${action}`);
const patternPart = fc.constantFrom("a", "b", "c", "*");
const pattern = fc.oneof(
  fc.constant("*"),
  fc.tuple(patternPart, patternPart).map(([domain, action]) => `${domain}:${action}`),
);

describe("names", () => {
  it("accepts domain:action in lower case letters, digits and _", () => {
    for (const good of ["event:emit", "a:b", "monitoring:alert_2"]) assert.ok(isName(good), good);
  });

  it("refuses everything else", () => {
    const bad = ["", "a", "a:", ":b", "A:b", "a:b:c", "a.b:c", "a:b ", "a:*", "a:b\n", "1a:b", "a:é", `${"a".repeat(65)}:b`, "../x:y"];
    for (const text of bad) {
      assert.ok(!isName(text), JSON.stringify(text));
      assert.throws(() => assertName(text), { code: "NAME_INVALID" });
    }
  });

  it("takes * for either part of a pattern, or alone", () => {
    for (const good of ["*", "*:*", "a:*", "*:b", "a:b"]) assert.ok(isPattern(good), good);
    for (const bad of ["**", "a:b*", "a", "*:", "a:>"]) assert.ok(!isPattern(bad), bad);
  });

  it("says that two patterns overlap exactly when a name matches both", () => {
    const all = ["a", "b", "c", "d"].flatMap((domain) => ["a", "b", "c", "d"].map((action) => `${domain}:${action}`));
    fc.assert(
      fc.property(pattern, pattern, (left, right) => {
        assert.equal(
          overlap(left, right),
          all.some((one) => matches(left, one) && matches(right, one)),
        );
      }),
    );
  });

  it("reduces patterns to ones that do not overlap and still cover every name", () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 6 }), name, (patterns, tested) => {
        const reduced = withoutOverlap(patterns);
        if (patterns.some((one) => matches(one, tested))) assert.equal(reduced.filter((one) => matches(one, tested)).length, 1);
        for (const [index, left] of reduced.entries()) {
          for (const right of reduced.slice(index + 1)) assert.ok(!overlap(left, right), `${left} and ${right}`);
        }
      }),
    );
  });
});
