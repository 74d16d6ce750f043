/** The losses against plain code in doubles, and their gradients against finite differences of it. */
import assert from "node:assert/strict";
import { before, describe, it, test } from "node:test";
import type * as TensorFlow from "@tensorflow/tfjs-core";
import { seededRandom } from "../../modules/policy/chance.ts";
import { generalisedAdvantages, normalised } from "../../modules/policy/neural/advantages.ts";
import { loadBackend } from "../../modules/policy/neural/backend.ts";
import { chosenTensor } from "../../modules/policy/neural/batch.ts";
import { classWeights } from "../../modules/policy/neural/classes.ts";
import { divergences, entropies, ktoLoss, logProbabilities, policyGradientLoss } from "../../modules/policy/neural/losses.ts";
import type { Tf } from "../../modules/policy/neural/network.ts";

const candidates = 3;
/** Three decisions among 3, 2 and 3 candidates: the second is padded. */
const counts = [3, 2, 3];
const chosen = [0, 1, 2];
const logits = [
  [0.3, -1.2, 0.7],
  [1.1, 0.4, 5],
  [-0.6, 0.2, 0.9],
];
const referenceLogits = [
  [0.1, 0.2, -0.4],
  [0, 0.8, -3],
  [0.5, 0.5, -1],
];

const logsOf = (row: readonly number[], count: number) => {
  const used = row.slice(0, count);
  const sum = Math.log(used.reduce((total, value) => total + Math.exp(value), 0));
  return used.map((value) => value - sum);
};
const allLogs = (rows: readonly (readonly number[])[]) => rows.map((row, index) => logsOf(row, counts[index] as number));
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const sigmoid = (value: number) => 1 / (1 + Math.exp(-value));
const at = (rows: readonly (readonly number[])[]) => rows.map((row, index) => row[chosen[index] as number] as number);

/** Central differences of a function of the logits. */
function slopes(of: (rows: number[][]) => number): number[][] {
  const step = 1e-5;
  return logits.map((row, index) =>
    row.map((_, position) => {
      const moved = (by: number) => {
        const rows = logits.map((each) => [...each]);
        (rows[index] as number[])[position] = (row[position] as number) + by;
        return of(rows);
      };
      return (moved(step) - moved(-step)) / (2 * step);
    }),
  );
}

const close = (actual: ArrayLike<number>, expected: readonly number[], tolerance = 1e-6) => {
  assert.equal(actual.length, expected.length);
  for (const [index, value] of expected.entries()) {
    assert.ok(Math.abs((actual[index] as number) - value) <= tolerance, `${actual[index]} is not ${value}, at ${index}`);
  }
};

let tf: Tf;
let padding: TensorFlow.Tensor2D;
const graphOf = (rows: readonly (readonly number[])[]) => tf.tensor2d(rows.map((row) => [...row]));
before(async () => {
  ({ tf } = await loadBackend());
  padding = graphOf(counts.map((count) => Array.from({ length: candidates }, (_, position) => (position < count ? 0 : -1e9))));
});

/** Loss and d loss / d logits by TensorFlow. */
function differentiated(loss: (logs: TensorFlow.Tensor2D) => TensorFlow.Scalar) {
  const { value, grad } = tf.valueAndGrad((rows) => loss(logProbabilities(tf, rows as TensorFlow.Tensor2D, padding)))(graphOf(logits));
  return { value: value.dataSync()[0] as number, gradient: grad.dataSync() };
}

test("z₀ and the entropy are exact over the candidates, padding left out", () => {
  const logs = logProbabilities(tf, graphOf(logits), padding);
  const reference = logProbabilities(tf, graphOf(referenceLogits), padding);
  const plain = allLogs(logits);
  const plainReference = allLogs(referenceLogits);
  const kl = plain.map((row, index) =>
    row.reduce((sum, log, position) => sum + Math.exp(log) * (log - (plainReference[index]?.[position] as number)), 0),
  );
  close(divergences(tf, logs, reference).dataSync(), kl);
  close(
    entropies(tf, logs).dataSync(),
    plain.map((row) => -row.reduce((sum, log) => sum + Math.exp(log) * log, 0)),
  );
  close(divergences(tf, logs, logs).dataSync(), [0, 0, 0]);
});

describe("KTO's loss", () => {
  const signs = [1, -1, 1];
  for (const { beta, weights } of [
    { beta: 0.1, weights: [1, 1, 1] },
    { beta: 0.5, weights: [1, 2.25, 1] },
  ]) {
    const reference = at(allLogs(referenceLogits));
    /** z₀ does not follow the logits. */
    const referencePoint = mean(
      allLogs(logits).map((row, index) =>
        row.reduce((sum, log, position) => sum + Math.exp(log) * (log - (allLogs(referenceLogits)[index]?.[position] as number)), 0),
      ),
    );
    const plain = (rows: readonly (readonly number[])[]) =>
      mean(
        at(allLogs(rows)).map((log, index) => {
          const weight = weights[index] as number;
          const ratio = log - (reference[index] as number);
          const value = signs[index] === 1 ? sigmoid(beta * (ratio - referencePoint)) : sigmoid(beta * (referencePoint - ratio));
          return weight - weight * value;
        }),
      );

    it(`and its gradient equal plain code with β ${beta} and λ ${weights}`, () => {
      const { value, gradient } = differentiated((logs) =>
        ktoLoss(tf, logs, {
          chosen: chosenTensor(tf, chosen, candidates),
          reference: tf.tensor1d(reference),
          signs: tf.tensor1d(signs),
          weights: tf.tensor1d(weights),
          referencePoint,
          beta,
        }),
      );
      close([value], [plain(logits)]);
      const expected = slopes(plain).flat();
      close(gradient, expected);
      assert.ok(expected.filter((slope) => Math.abs(slope) > 1e-4).length >= 8, "the comparison is of more than zeros");
      assert.equal(gradient[5], 0, "padding has no gradient");
    });
  }

  it("weighs the lighter class up until λ_D n_D / λ_U n_U is from 1 to 3/2", () => {
    const even = { desirable: 1, undesirable: 1 };
    assert.deepEqual(classWeights(32, 32, even), even);
    assert.deepEqual(classWeights(12, 10, even), even);
    for (const [desirable, undesirable] of [
      [10, 30],
      [30, 10],
    ] as const) {
      const weights = classWeights(desirable, undesirable, even);
      const tilt = (weights.desirable * desirable) / (weights.undesirable * undesirable);
      assert.ok(Math.abs(tilt - (desirable < undesirable ? 1 : 1.5)) < 1e-12);
      assert.equal(Math.min(weights.desirable, weights.undesirable), 1);
    }
  });
});

describe("one arm that is always good and one that is always bad", () => {
  const descend = (steps: number, rate: number, slope: (logit: number) => number) => {
    let logit = 0;
    for (let step = 0; step < steps; step++) logit -= rate * slope(logit);
    return sigmoid(logit);
  };

  it("come to p(good) > 0.99 under KTO's loss", () => {
    const even = Math.log(0.5);
    const none = tf.zeros([2, 2]) as TensorFlow.Tensor2D;
    const slope = (logit: number) =>
      tf.tidy(() => {
        const p = sigmoid(logit);
        const referencePoint = p * (Math.log(p) - even) + (1 - p) * (Math.log(1 - p) - even);
        const loss = (rows: TensorFlow.Tensor) =>
          ktoLoss(tf, logProbabilities(tf, rows as TensorFlow.Tensor2D, none), {
            chosen: chosenTensor(tf, [0, 1], 2),
            reference: tf.tensor1d([even, even]),
            signs: tf.tensor1d([1, -1]),
            weights: tf.tensor1d([1, 1]),
            referencePoint,
            beta: 0.1,
          });
        const [first = 0, , second = 0] = tf
          .grad(loss)(
            tf.tensor2d([
              [logit, 0],
              [logit, 0],
            ]),
          )
          .dataSync();
        return first + second;
      });
    assert.ok(descend(300, 2, slope) > 0.99);
  });

  it("stop at λ²/(1+λ²) = 0.835 under E_D[KL − λ log π] + E_U[KL − (1/λ) log π], which circulates under its name", () => {
    const lambda = 2.25;
    const wrong = (logit: number) => -lambda * (1 - sigmoid(logit)) + (1 / lambda) * sigmoid(logit);
    assert.ok(Math.abs(descend(10_000, 0.1, wrong) - 0.835) < 1e-3);
  });
});

describe("REINFORCE", () => {
  it("has the loss and the gradient of plain code", () => {
    const advantages = [0.8, -1.3, 0.5];
    const returns = [0.9, -0.2, 0.4];
    const values = [0.1, 0.3, -0.5];
    const weights = [1, 0.2, 3];
    const weighted = (numbers: readonly number[]) => mean(numbers.map((number, index) => (weights[index] as number) * number));
    const entropyBonus = 0.01;
    const plain = (rows: readonly (readonly number[])[]) => {
      const logs = allLogs(rows);
      const policy = -weighted(at(logs).map((log, index) => log * (advantages[index] as number)));
      const entropy = mean(logs.map((row) => -row.reduce((sum, log) => sum + Math.exp(log) * log, 0)));
      return policy - entropyBonus * entropy + weighted(values.map((value, index) => (value - (returns[index] as number)) ** 2));
    };
    const targets = () => ({
      chosen: chosenTensor(tf, chosen, candidates),
      weights: tf.tensor1d(weights),
      advantages: tf.tensor1d(advantages),
      returns: tf.tensor1d(returns),
      entropyBonus,
    });
    const { value, gradient } = differentiated((logs) => policyGradientLoss(tf, logs, tf.tensor1d(values), targets()));
    close([value], [plain(logits)]);
    close(gradient, slopes(plain).flat());
    const ofValues = tf.grad((predicted) =>
      policyGradientLoss(tf, logProbabilities(tf, graphOf(logits), padding), predicted as TensorFlow.Tensor1D, targets()),
    )(tf.tensor1d(values));
    close(
      ofValues.dataSync(),
      values.map((value, index) => (2 * (weights[index] as number) * (value - (returns[index] as number))) / values.length),
    );
  });

  it("has the advantages of the definition: discounted sums of surprises to the end of the trajectory, not beyond", () => {
    const random = seededRandom(3);
    const lengths = [3, 1, 4, 2];
    const ends = lengths.flatMap((length) => Array.from({ length }, (_, index) => index === length - 1));
    const rewards = ends.map(() => random() * 2 - 1);
    const values = ends.map(() => random() * 2 - 1);
    const [discount, trace] = [0.99, 0.95];
    const expected = ends.map((_, from) => {
      const last = ends.indexOf(true, from);
      let sum = 0;
      for (let step = from; step <= last; step++) {
        const next = step === last ? 0 : (values[step + 1] as number);
        sum += (discount * trace) ** (step - from) * ((rewards[step] as number) + discount * next - (values[step] as number));
      }
      return sum;
    });
    const ratios = ends.map(() => 1);
    const { advantages, returns } = generalisedAdvantages({ rewards, values, ends, ratios }, discount, trace);
    close(advantages, expected, 1e-12);
    close(
      returns,
      expected.map((advantage, index) => advantage + (values[index] as number)),
      1e-12,
    );
  });

  it("with λ 1 and no baseline has the discounted return as its advantage", () => {
    const laid = { rewards: [0, 0, 1], values: [0, 0, 0], ends: [false, false, true], ratios: [1, 1, 1] };
    close(generalisedAdvantages(laid, 0.5, 1).advantages, [0.25, 0.5, 1], 1e-12);
  });

  it("counts what came later by how likely it is under the policy, and no more than once", () => {
    const laid = { rewards: [0, 0, 1], values: [0, 0, 0], ends: [false, false, true], ratios: [9, 0.2, 4] };
    close(generalisedAdvantages(laid, 1, 1).advantages, [0.2, 1, 1], 1e-12);
  });

  it("normalises advantages by their weights, and does not stretch noise", () => {
    const alike = [1, 1, 1, 1];
    const scaled = normalised(Float64Array.of(1, 2, 3, 6), alike);
    close([mean([...scaled]), mean([...scaled].map((value) => value ** 2))], [0, 1], 1e-12);
    close(normalised(Float64Array.of(1, 1, 3, 9), [0.5, 0.5, 1, 0]).slice(0, 3), [-1, -1, 1], 1e-12);
    close(normalised(Float64Array.of(0.5, 0.5, 0.5), [1, 1, 1]), [0, 0, 0], 1e-12);
    close(normalised(Float64Array.of(1, 2), [0, 0]), [0, 0], 1e-12);
    assert.ok(Math.max(...normalised(Float64Array.of(0, 1e-6, 0), [1, 1, 1])) < 1e-3);
  });
});
