import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { encode, originOf } from "../../modules/policy/features/encode.ts";
import { toDense } from "../../modules/policy/features/sparse-rows.ts";
import { defaultSpec, rowLayout } from "../../modules/policy/features/spec.ts";
import type { Features } from "../../modules/policy/features/walk.ts";

const contextOf = (context: Features, spec = defaultSpec) => encode(spec, context, [{ id: "a" }]).context;
const dot = (left: Float32Array, right: Float32Array) => left.reduce((sum, value, index) => sum + value * (right[index] as number), 0);
const norm = (vector: Float32Array) => Math.sqrt(dot(vector, vector));

describe("encode", () => {
  it("gives vectors in the dimensions of its spec, one row a candidate", () => {
    const situation = encode(defaultSpec, { size: 1 }, [{ id: "a" }, { id: "b", features: { cost: 2 } }]);
    assert.deepEqual(situation.ids, ["a", "b"]);
    assert.equal(situation.context.length, defaultSpec.context);
    assert.deepEqual(
      situation.candidates.map(({ length }) => length),
      [defaultSpec.candidate, defaultSpec.candidate],
    );
    assert.equal(situation.rows.common.starts.length, 1 + 1);
    assert.equal(situation.rows.described.starts.length, 2 + 1);
  });

  it("gives the same numbers whatever the order of keys, tags and words", () => {
    const one = contextOf({ a: 1, tags: ["x", "y"], text: "one two" });
    assert.deepEqual(contextOf({ text: "Two, one!", tags: ["y", "x"], a: 1 }), one);
  });

  it("tells values, keys and types apart", () => {
    const vectors = [
      { a: "x" },
      { a: "y" },
      { b: "x" },
      { a: true },
      { a: false },
      { a: 1 },
      { a: -1 },
      { a: ["x y"] },
      { a: { x: 1 } },
    ].map((each) => contextOf(each as Features).join());
    assert.equal(new Set(vectors).size, vectors.length);
  });

  it("keeps many features apart in few dimensions", () => {
    const names = Array.from({ length: 40 }, (_, index) => contextOf({ [`feature_${index}`]: 1 }));
    for (const [index, left] of names.entries()) for (const right of names.slice(index + 1)) assert.ok(Math.abs(dot(left, right)) < 0.99);
  });

  it("makes texts with common words alike, and all the words of a text weigh less than a category", () => {
    const [near, far] = ["sort the list of names", "translate a poem"].map((text) => contextOf({ text }));
    const text = contextOf({ text: "sort this list of numbers" });
    assert.ok(dot(text, near as Float32Array) > 2 * Math.abs(dot(text, far as Float32Array)));
    assert.ok(norm(text) < norm(contextOf({ text: "sort" })));
  });

  it("does not let great numbers drown small ones, and keeps their order", () => {
    const at = (value: number) => norm(contextOf({ value }));
    assert.ok(Math.abs(at(2) - 2) < 1e-6 && at(10) > at(5) && at(1e6) > at(1e3));
    assert.ok(at(1e6) < 20);
  });

  it("counts the keys of its spec alone", () => {
    const spec = { ...defaultSpec, keys: ["a"] };
    assert.deepEqual(contextOf({ a: 1, secret: 2 }, spec), contextOf({ a: 1 }));
  });

  it("knows a candidate by its id only where the spec says so, and never in its row", () => {
    const of = (id: string, identity: boolean) => encode({ ...defaultSpec, identity }, { a: 1 }, [{ id, features: { cost: 1 } }]);
    assert.notDeepEqual(of("x", true).candidates, of("y", true).candidates);
    assert.deepEqual(of("x", false).candidates, of("y", false).candidates);
    assert.deepEqual(of("x", true).rows, of("y", true).rows);
  });

  it("multiplies context and candidate, and raises waves over two features or more", () => {
    const { products, waves, candidate, length } = rowLayout(defaultSpec);
    const rows = (context: Features, features: Features) => encode(defaultSpec, context, [{ id: "a", features }]).rows;
    const productsOf = (...asked: [Features, Features]) => toDense(rows(...asked).described, 0, length).subarray(products);
    assert.ok(productsOf({ a: 1 }, { b: 1 }).some((value) => value !== 0));
    assert.ok(productsOf({}, { b: 1 }).every((value) => value === 0));
    const wavesOf = (context: Features) => toDense(rows(context, {}).common, 0, candidate).subarray(waves);
    assert.ok(wavesOf({ a: 1 }).every((value) => value === 0));
    assert.ok(norm(wavesOf({ a: 1, b: 1 })) > 1);
  });

  it("takes any JSON, to finite numbers", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.dictionary(fc.string(), fc.jsonValue()), (context, features) => {
        const { rows, candidates } = encode(defaultSpec, context, [{ id: "a", features }]);
        return [rows.common.values, rows.described.values, ...candidates].every((vector) => vector.every(Number.isFinite));
      }),
    );
  });

  it("remembers what it was made from, but not for a clone", () => {
    const situation = encode(defaultSpec, { a: 1 }, [{ id: "x" }]);
    assert.deepEqual(originOf(situation)?.context, { a: 1 });
    assert.equal(originOf(structuredClone(situation)), undefined);
  });
});
