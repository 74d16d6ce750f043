import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { normal, seededRandom } from "../../modules/policy/chance.ts";
import { featureChoice, specOf } from "../../modules/policy/features/choice.ts";
import { encode } from "../../modules/policy/features/encode.ts";
import { project } from "../../modules/policy/features/projection.ts";
import { type SparseRows, toDense } from "../../modules/policy/features/sparse-rows.ts";
import { defaultSpec, type FeatureSpec, rowLayout } from "../../modules/policy/features/spec.ts";
import { digestOf, type Embeddings, textsOf } from "../../modules/policy/features/texts.ts";

const chosen = (choice: object) => specOf(featureChoice.parse(choice));
const embedding = { embedding: "meaning", dimensions: 4 };

describe("a feature spec", () => {
  it("is the usual one, of version 1, unless it says something else", () => {
    assert.deepEqual(chosen({}), defaultSpec);
    assert.deepEqual(chosen({ text: "hashing", context: 512, identity: true }), defaultSpec);
  });

  it("has the version of what it says, however it is said", () => {
    const { version } = chosen({ keys: ["b", "a"], context: 256 });
    assert.match(version, /^[0-9a-f]{12}$/);
    assert.equal(chosen({ context: 256, keys: ["a", "b", "a"], waves: 64 }).version, version);
    const others = [{ context: 128 }, { candidate: 128 }, { waves: 0 }, { products: 16 }, { identity: false }, { keys: ["a"] }];
    const texts = [embedding, { embedding: "other", dimensions: 4 }, { embedding: "meaning" }].map((text) => ({ text }));
    const versions = [{}, ...others, ...texts].map((each) => chosen(each).version);
    assert.equal(new Set(versions).size, versions.length);
    assert.equal(chosen({ text: embedding }).version, "e814f77974e1", "the same on every machine, for ever");
  });

  for (const wrong of [
    { context: 100 },
    { context: 4096 },
    { candidate: 8 },
    { waves: 1 },
    { waves: 257 },
    { products: 0 },
    { keys: [] },
    { text: "embedding" },
    { text: { embedding: "meaning", dimensions: 33 } },
    { sizes: 1 },
  ]) {
    it(`cannot say ${JSON.stringify(wrong)}`, () => assert.equal(featureChoice.safeParse(wrong).success, false));
  }

  it("of any sizes encodes to finite numbers", () => {
    for (const sizes of [
      { context: 16, candidate: 16, waves: 0, products: 16 },
      { context: 2048, candidate: 512, waves: 256, products: 1024 },
      { waves: 2 },
    ]) {
      const { rows, candidates } = encode(chosen(sizes), { a: 1, b: "x y" }, [{ id: "c", features: { d: 2, e: ["f"] } }]);
      for (const vector of [rows.common.values, rows.described.values, ...candidates])
        assert.ok(vector.every(Number.isFinite) && vector.some((value) => value !== 0));
    }
  });
});

describe("the texts of a choice", () => {
  const spec = chosen({ text: embedding });

  it("are strings of several words, each once, of the context and of the candidates", () => {
    const context = { task: "mend the car", kind: "one", blank: "  ", tags: ["fast one", 2, "solid"] };
    const candidates = [{ id: "a", features: { about: "mend the car", deep: { er: "far down" } } }, { id: "b" }];
    assert.deepEqual(textsOf(spec, context, candidates), ["mend the car", "fast one", "far down"]);
  });

  it("are those of the keys that count, and 256 at most", () => {
    assert.deepEqual(textsOf({ ...spec, keys: ["open"] }, { open: "to all", secret: "to nobody" }, []), ["to all"]);
    const candidates = Array.from({ length: 200 }, (_, index) => ({ id: `${index}`, features: { a: `a ${index}`, b: `b ${index}` } }));
    assert.equal(textsOf(spec, {}, candidates).length, 256);
  });
});

describe("what texts mean", () => {
  const spec = chosen({ text: embedding });
  const vectors = { "mend the car": [1, 0, 0, 0], "repair an automobile": [0.9, 0.1, 0, 0], "bake some bread": [0, 0, 1, 0] };
  const embeddings: Embeddings = {
    model: "meaning",
    dimensions: 4,
    vectors: Object.fromEntries(Object.entries(vectors).map(([text, vector]) => [digestOf(text), vector])),
  };
  const contextOf = (task: string, of: FeatureSpec = spec, known: Embeddings | undefined = embeddings) =>
    encode(of, { task }, [{ id: "a" }], known).context;
  const cosine = (left: Float32Array, right: Float32Array) => {
    const dot = (one: Float32Array, other: Float32Array) => one.reduce((sum, value, index) => sum + value * (other[index] as number), 0);
    return dot(left, right) / Math.sqrt(dot(left, left) * dot(right, right));
  };

  it("makes those alike that have no word in common", () => {
    const [mend, repair, bake] = ["mend the car", "repair an automobile", "bake some bread"].map((task) => contextOf(task)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    assert.ok(cosine(mend, repair) > 0.7);
    assert.ok(Math.abs(cosine(mend, bake)) < 0.3);
  });

  it("is part of the candidates, too, and of their products with the context", () => {
    const of = (about: string) => encode(spec, { size: 1 }, [{ id: "a", features: { about } }], embeddings).rows.described;
    const { products: first, length } = rowLayout(spec);
    const products = (described: SparseRows) => toDense(described, 0, length).subarray(first);
    assert.ok(cosine(products(of("mend the car")), products(of("repair an automobile"))) > 0.7);
  });

  it("leaves the words alone where there is no vector, or one of another model or length, or the spec is of words", () => {
    const words = contextOf("mend the car", defaultSpec, undefined);
    for (const known of [undefined, { ...embeddings, vectors: {} }, { ...embeddings, model: "other" }, { ...embeddings, dimensions: 5 }]) {
      assert.deepEqual(encode(spec, { task: "mend the car" }, [{ id: "a" }], known).context, words);
    }
    assert.deepEqual(contextOf("mend the car", defaultSpec), words);
    assert.notDeepEqual(contextOf("mend the car"), words);
  });
});

describe("a projection", () => {
  const random = seededRandom(5);
  const vectorOf = () => Array.from({ length: 1_536 }, () => normal(random));
  const cosine = (left: readonly number[], right: readonly number[]) =>
    left.reduce((sum, value, index) => sum + value * (right[index] as number), 0) / (Math.hypot(...left) * Math.hypot(...right));

  it("is of length 1, of four decimals, and always the same", () => {
    const vector = vectorOf();
    const projected = project(vector, 16);
    assert.equal(projected.length, 16);
    assert.ok(Math.abs(Math.hypot(...projected) - 1) < 1e-3);
    assert.ok(projected.every((value) => value === Math.round(value * 1e4) / 1e4));
    assert.deepEqual(
      project(
        vector.map((value) => 7 * value),
        16,
      ),
      projected,
    );
    assert.deepEqual(project([0, 0], 2), [0, 0]);
  });

  it("keeps what is alike alike, and what is not apart", () => {
    for (let round = 0; round < 20; round++) {
      const [one, other] = [vectorOf(), vectorOf()];
      const near = one.map((value, index) => value + 0.3 * (other[index] as number));
      assert.ok(cosine(project(one, 16), project(near, 16)) > 0.8);
      assert.ok(Math.abs(cosine(project(one, 16), project(other, 16))) < 0.8);
    }
  });
});
