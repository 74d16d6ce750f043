/** The plain code that serves against the graph that is trained. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { normal, seededRandom } from "../../modules/policy/chance.ts";
import { encode } from "../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { type Architecture, architecture, smallNetwork } from "../../modules/policy/neural/architecture.ts";
import { loadBackend } from "../../modules/policy/neural/backend.ts";
import { situationTensors } from "../../modules/policy/neural/batch.ts";
import { critic } from "../../modules/policy/neural/critic.ts";
import { initialWeights, networkOf, type Parameter, type Weights } from "../../modules/policy/neural/network.ts";
import { norm } from "../../modules/policy/neural/optimiser.ts";
import type { Situation } from "../../modules/policy/policies/policy.ts";

const run = promisify(execFile);
const random = seededRandom(11);
/** Situations with from 1 to 7 candidates. */
const situations = Array.from({ length: 9 }, (_, index): Situation => {
  const context = { topic: ["code", "text"][index % 2], size: random() * 10, hard: random() < 0.5, words: "some words of a task" };
  const candidates = Array.from({ length: 1 + ((index * 3) % 7) }, (_, position) => ({
    id: `c${position}`,
    features: { cost: random(), tags: ["fast", "cheap", "good"].slice(position % 3) },
  }));
  return encode(defaultSpec, context, candidates);
});

/** As after some training: none is zero. */
const disturbed = (parameters: readonly Parameter[]): Weights =>
  initialWeights(parameters, 5).map((vector) => vector.map((value) => value + 0.05 * normal(random)));

const tensorsOf = (tf: Awaited<ReturnType<typeof loadBackend>>["tf"], parameters: readonly Parameter[], weights: Weights) =>
  parameters.map(({ shape }, index) => tf.tensor(weights[index] as Float32Array, [...shape]));

const architectures: Record<string, Architecture> = {
  "a perceptron": { kind: "mlp", width: 64, layers: 1 },
  "a perceptron of three layers": { kind: "mlp", width: 17, layers: 3 },
  "a transformer": { kind: "transformer", width: 64, heads: 4, layers: 2 },
  "a transformer of another shape": { kind: "transformer", width: 24, heads: 3, layers: 3 },
};

for (const [name, architecture] of Object.entries(architectures)) {
  describe(name, () => {
    const network = networkOf(architecture, defaultSpec);

    it("gives the same logits served and trained, alone or beside larger situations", async () => {
      const { tf } = await loadBackend();
      const weights = disturbed(network.parameters);
      const batch = situationTensors(tf, defaultSpec, situations);
      const logits = network.graph(tf, tensorsOf(tf, network.parameters, weights), batch).arraySync();
      const seen = new Set<number>();
      for (const [index, situation] of situations.entries()) {
        const served = network.score(weights, situation);
        assert.equal(served.length, situation.ids.length);
        for (const [position, logit] of served.entries()) {
          const trained = logits[index]?.[position] as number;
          assert.ok(Math.abs(logit - trained) <= 1e-5 * Math.max(1, Math.abs(trained)), `${logit} is not ${trained}`);
          seen.add(Math.round(logit * 1e4));
        }
      }
      assert.ok(seen.size > 10, "the logits differ");
    });

    it("has the gradient of plain code: going along it, that changes as much", async () => {
      const { tf } = await loadBackend();
      const weights = disturbed(network.parameters);
      const factors = situations.map(({ ids }) => ids.map(() => normal(random)));
      const gradient = tf.tidy(() => {
        const batch = situationTensors(tf, defaultSpec, situations);
        const padded = factors.map((row) => Array.from({ length: batch.candidates }, (_, position) => row[position] ?? 0));
        const sum = (...tensors: Parameters<typeof network.graph>[1]) =>
          tf.sum(tf.mul(network.graph(tf, tensors, batch), tf.tensor2d(padded)));
        const slopes = tf.grads(sum as never)(tensorsOf(tf, network.parameters, weights));
        return slopes.map((slope) => slope.dataSync() as Float32Array);
      });
      const length = norm(gradient);
      const plain = (by: number) => {
        const moved = weights.map((vector, at) =>
          vector.map((value, index) => value + (by * ((gradient[at] as Float32Array)[index] as number)) / length),
        );
        const logits = situations.map((situation) => network.score(moved, situation));
        return factors.flatMap((row, at) => row.map((factor, position) => factor * (logits[at]?.[position] as number)));
      };
      const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);
      const step = 1e-3;
      const expected = (total(plain(step)) - total(plain(-step))) / (2 * step);
      assert.ok(length > 1 && Math.abs(length - expected) < 0.01 * expected, `${length} is not ${expected}`);
    });

    it("scores candidates alike in any order", () => {
      const weights = disturbed(network.parameters);
      const situation = situations[2] as Situation;
      const turned = { ...situation, candidates: situation.candidates.toReversed(), ids: situation.ids.toReversed() };
      const served = network.score(weights, situation).toReversed();
      for (const [position, logit] of network.score(weights, turned).entries()) {
        assert.ok(Math.abs(logit - (served[position] as number)) < 1e-5);
      }
    });

    it("gives equal odds before it learned anything, and begins as its seed says", () => {
      const weights = initialWeights(network.parameters, 1);
      assert.ok(network.score(weights, situations[2] as Situation).every((logit) => logit === 0));
      assert.deepEqual(initialWeights(network.parameters, 1), weights);
      assert.notDeepEqual(initialWeights(network.parameters, 2), weights);
    });
  });
}

describe("the baseline", () => {
  it("has the same value served and trained", async () => {
    const { tf } = await loadBackend();
    const baseline = critic(defaultSpec);
    const weights = disturbed(baseline.parameters);
    const { contexts } = situationTensors(tf, defaultSpec, situations);
    const values = baseline.graph(tf, tensorsOf(tf, baseline.parameters, weights), contexts).dataSync();
    for (const [index, { context }] of situations.entries()) {
      assert.ok(Math.abs(baseline.evaluate(weights, context) - (values[index] as number)) < 1e-5);
    }
    assert.ok(new Set(values).size > 2);
  });
});

describe("the backend", () => {
  it("says which one it is: native code where the user has it, WebAssembly otherwise", async () => {
    const { tf, name } = await loadBackend();
    assert.equal(tf.getBackend(), name === "native" ? "tensorflow" : "wasm");
  });

  it("is not loaded by serving", async () => {
    const program = `
      const { kinds } = await import(${JSON.stringify(new URL("../../modules/policy/policies/kinds.ts", import.meta.url).href)});
      const { encode } = await import(${JSON.stringify(new URL("../../modules/policy/features/encode.ts", import.meta.url).href)});
      const { defaultSpec } = await import(${JSON.stringify(new URL("../../modules/policy/features/spec.ts", import.meta.url).href)});
      const policies = ["kto", "reinforce"].map((name) => kinds[name].create({ spec: defaultSpec, seed: 1 }));
      const sums = policies.map((policy) => policy.odds(encode(defaultSpec, {}, [{ id: "a" }, { id: "b" }])).probabilities[0]);
      const { createRequire } = await import("node:module");
      const loaded = Object.keys(createRequire(import.meta.url).cache).filter((path) => path.includes("tensorflow"));
      process.stdout.write(JSON.stringify({ sums, loaded }));
    `;
    const { stdout } = await run(process.execPath, ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", program]);
    assert.deepEqual(JSON.parse(stdout), { sums: [0.5, 0.5], loaded: [] });
  });
});

describe("the size of a network", () => {
  const refusal = (shape: object) => architecture.safeParse(shape).error?.issues[0]?.message;

  it("is bounded by what a choice may take, and has heads that divide the width", () => {
    const usual = { kind: "transformer", width: 64, heads: 4, layers: 2 };
    assert.deepEqual([architecture.parse({ kind: "transformer" }), architecture.parse({ kind: "mlp" })], [usual, smallNetwork]);
    assert.match(refusal({ ...usual, heads: 5 }) ?? "", /divide the width/);
    for (const large of [{ width: 128 }, { layers: 3 }, { width: 256, heads: 8, layers: 6 }]) {
      assert.match(refusal({ ...usual, ...large }) ?? "", /too large to serve/);
    }
    for (const wrong of [{ kind: "mlp", layers: 9 }, { kind: "mlp", heads: 2 }, { kind: "oracle" }]) assert.ok(refusal(wrong));
  });
});
