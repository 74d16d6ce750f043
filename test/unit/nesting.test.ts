import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isTooDeep, mostLevels } from "../../daemon/events/envelope.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const padding = `"${'[{\\"'.repeat(500)}"`;
const nested = (levels: number) => `${"[".repeat(levels)}${padding}${"]".repeat(levels)}`;

test("a payload may nest so deep, and no deeper; brackets in strings do not count", () => {
  assert.equal(isTooDeep(bytes(nested(mostLevels))), false);
  assert.equal(isTooDeep(bytes(nested(mostLevels + 1))), true);
  assert.equal(isTooDeep(bytes(`[${`${nested(mostLevels - 1)},`.repeat(9)}{}]`)), false);
});

test("no JSON that is flat is too deep, whatever its strings hold", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: fc.constantFrom("[", "{", '"', "\\", "]", "é") }), { minLength: 200 }), (texts) => {
      assert.equal(isTooDeep(bytes(JSON.stringify(texts))), false);
    }),
  );
});
