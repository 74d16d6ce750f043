import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createSeal } from "../../daemon/seal.ts";

describe("a seal", () => {
  const seal = createSeal("secret");

  it("opens what it closed, in its place only", () => {
    fc.assert(
      fc.property(fc.string(), fc.jsonValue(), (place, value) => {
        const text = seal.close(place, value);
        assert.deepEqual(seal.open(place, text), JSON.parse(JSON.stringify(value)));
        assert.equal(seal.open(`${place}x`, text), undefined);
        assert.equal(createSeal("other").open(place, text), undefined);
      }),
    );
  });

  it("refuses any text that it did not close", () => {
    fc.assert(fc.property(fc.string(), (text) => assert.equal(seal.open("place", text), undefined)));
    const text = seal.close("place", { amount: 1 });
    assert.equal(seal.open("place", text.replace("1}", "2}")), undefined);
  });
});
