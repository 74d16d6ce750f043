/**
 * A transformer over a set (Vaswani et al. 2017, arXiv 1706.03762): one token for the context, one for each candidate, no
 * positions, since candidates have no order. Each layer normalises before attending and before its rectified perceptron
 * (Xiong et al. 2020, arXiv 2002.04745); the logit of a candidate is read from its token.
 */
import type * as TensorFlow from "@tensorflow/tfjs-core";
import type { FeatureSpec } from "../features/spec.ts";
import { affine, dot, rectify, sparseAffine } from "./arithmetic.ts";
import { multiply } from "./multiply.ts";
import { matrix, type Network, ones, outputScale, type Parameter, type Tf, unitMatrix, zeros } from "./network.ts";

export interface TransformerShape {
  /** Numbers of a token. */
  readonly width: number;
  /** A divisor of the width. */
  readonly heads: number;
  readonly layers: number;
}

/** Width of a layer's perceptron, in widths of a token. */
const expansion = 2;
/** Added to a variance before it divides. */
const smallest = 1e-5;

export function transformer(spec: FeatureSpec, shape: TransformerShape): Network {
  return {
    parameters: parametersOf(spec, shape),
    score(weights, { context, candidates }) {
      const next = reader(weights);
      const embedding = { context: [next(), next()], candidate: [next(), next()] } as const;
      const tokens = new Float32Array((1 + candidates.length) * shape.width);
      tokens.set(sparseAffine(context, ...embedding.context));
      for (const [index, candidate] of candidates.entries()) {
        tokens.set(sparseAffine(candidate, ...embedding.candidate), (1 + index) * shape.width);
      }
      for (let layer = 0; layer < shape.layers; layer++) transform(tokens, next, shape);
      const normal = normalise(tokens, next(), next());
      const out = next();
      return Float32Array.from(
        candidates,
        (_, index) => outputScale * dot(normal.subarray((1 + index) * shape.width, (2 + index) * shape.width), out),
      );
    },
    graph(tf, weights, { contexts, features, padding, situations, candidates }) {
      const next = reader(weights) as TensorReader;
      const { width } = shape;
      const embed = (inputs: TensorFlow.Tensor2D, count: number): TensorFlow.Tensor3D =>
        tf.reshape(tf.add(multiply(tf, inputs, next<TensorFlow.Tensor2D>()), next()), [situations, count, width]);
      let tokens = tf.concat([embed(contexts, 1), embed(features, candidates)], 1);
      // The context is never padding.
      const mask = tf.reshape(tf.concat([tf.zeros([situations, 1]), padding], 1), [situations, 1, 1, 1 + candidates]);
      for (let layer = 0; layer < shape.layers; layer++) tokens = transformGraph(tf, tokens, mask, next, shape);
      const normal = tf.slice(normaliseGraph(tf, tokens, next(), next()), [0, 1, 0], [-1, -1, -1]);
      const logits = multiply(tf, tf.reshape(normal, [situations * candidates, width]), next<TensorFlow.Tensor2D>());
      return tf.reshape(tf.mul(logits, outputScale), [situations, candidates]);
    },
  };
}

function parametersOf(spec: FeatureSpec, { width, layers }: TransformerShape): Parameter[] {
  const linear = (name: string, inputs: number, outputs: number): Parameter[] => [
    matrix(name, inputs, outputs),
    zeros(`${name} bias`, outputs),
  ];
  const norm = (name: string): Parameter[] => [ones(`${name} gain`, width), zeros(`${name} offset`, width)];
  const layer = (index: number): Parameter[] => [
    ...norm(`layer ${index} attention norm`),
    ...linear(`layer ${index} query`, width, width),
    ...linear(`layer ${index} key`, width, width),
    ...linear(`layer ${index} value`, width, width),
    ...linear(`layer ${index} attended`, width, width),
    ...norm(`layer ${index} perceptron norm`),
    ...linear(`layer ${index} expand`, width, expansion * width),
    ...linear(`layer ${index} contract`, expansion * width, width),
  ];
  return [
    unitMatrix("context", spec.context, width),
    zeros("context bias", width),
    unitMatrix("candidate", spec.candidate, width),
    zeros("candidate bias", width),
    ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
    ...norm("last norm"),
    zeros("logit", width, 1),
  ];
}

/** Weights in the order of the parameters. */
type TensorReader = <Of extends TensorFlow.Tensor = TensorFlow.Tensor>() => Of;

function reader<Each>(weights: readonly Each[]): () => Each {
  let position = 0;
  return () => weights[position++] as Each;
}

/** One layer, in place. */
function transform(tokens: Float32Array, next: () => Float32Array, { width, heads }: TransformerShape): void {
  const count = tokens.length / width;
  const normal = normalise(tokens, next(), next());
  const query = affine(normal, count, next(), next());
  const key = affine(normal, count, next(), next());
  const value = affine(normal, count, next(), next());
  addTo(tokens, affine(attend(query, key, value, width, heads), count, next(), next()));
  const expanded = rectify(affine(normalise(tokens, next(), next()), count, next(), next()));
  addTo(tokens, affine(expanded, count, next(), next()));
}

function transformGraph(
  tf: Tf,
  tokens: TensorFlow.Tensor3D,
  mask: TensorFlow.Tensor,
  next: TensorReader,
  { width, heads }: TransformerShape,
): TensorFlow.Tensor3D {
  const [situations, count] = tokens.shape;
  const each = width / heads;
  const linear = (input: TensorFlow.Tensor, inputs: number): TensorFlow.Tensor2D =>
    tf.add(multiply(tf, tf.reshape(input, [situations * count, inputs]), next<TensorFlow.Tensor2D>()), next());
  const split = (input: TensorFlow.Tensor) => tf.transpose(tf.reshape(input, [situations, count, heads, each]), [0, 2, 1, 3]);

  const normal = normaliseGraph(tf, tokens, next(), next());
  const query = split(linear(normal, width));
  const key = split(linear(normal, width));
  const value = split(linear(normal, width));
  const scores = tf.add(tf.mul(tf.matMul(query, key, false, true), 1 / Math.sqrt(each)), mask);
  const attended = tf.transpose(tf.matMul(tf.softmax(scores), value), [0, 2, 1, 3]);
  const after: TensorFlow.Tensor3D = tf.add(tokens, tf.reshape(linear(attended, width), [situations, count, width]));

  const expanded = tf.relu(linear(normaliseGraph(tf, after, next(), next()), width));
  return tf.add(after, tf.reshape(linear(expanded, expansion * width), [situations, count, width]));
}

/** What each token takes from all: softmax(q·k/√d) · v, head by head. */
function attend(query: Float32Array, key: Float32Array, value: Float32Array, width: number, heads: number): Float32Array {
  const count = query.length / width;
  const each = width / heads;
  const attended = new Float32Array(query.length);
  const shares = new Float64Array(count);
  const sums = new Float64Array(each);
  for (let head = 0; head < heads; head++) {
    for (let to = 0; to < count; to++) {
      const at = to * width + head * each;
      let most = Number.NEGATIVE_INFINITY;
      for (let from = 0, other = head * each; from < count; from++, other += width) {
        let sum = 0;
        for (let index = 0; index < each; index++) sum += (query[at + index] as number) * (key[other + index] as number);
        const score = sum / Math.sqrt(each);
        shares[from] = score;
        if (score > most) most = score;
      }
      let whole = 0;
      sums.fill(0);
      for (let from = 0, other = head * each; from < count; from++, other += width) {
        const share = Math.exp((shares[from] as number) - most);
        whole += share;
        for (let index = 0; index < each; index++) {
          sums[index] = (sums[index] as number) + share * (value[other + index] as number);
        }
      }
      for (let index = 0; index < each; index++) attended[at + index] = (sums[index] as number) / whole;
    }
  }
  return attended;
}

/** Each token with mean 0 and variance 1, then times gain plus offset (Ba et al. 2016, arXiv 1607.06450). */
function normalise(tokens: Float32Array, gain: Float32Array, offset: Float32Array): Float32Array {
  const width = gain.length;
  const result = new Float32Array(tokens.length);
  for (let start = 0; start < tokens.length; start += width) {
    let sum = 0;
    for (let index = 0; index < width; index++) sum += tokens[start + index] as number;
    const mean = sum / width;
    let squares = 0;
    for (let index = 0; index < width; index++) squares += ((tokens[start + index] as number) - mean) ** 2;
    const scale = 1 / Math.sqrt(squares / width + smallest);
    for (let index = 0; index < width; index++) {
      result[start + index] = ((tokens[start + index] as number) - mean) * scale * (gain[index] as number) + (offset[index] as number);
    }
  }
  return result;
}

function normaliseGraph(tf: Tf, tokens: TensorFlow.Tensor3D, gain: TensorFlow.Tensor, offset: TensorFlow.Tensor): TensorFlow.Tensor3D {
  const centred = tf.sub(tokens, tf.mean(tokens, -1, true));
  const variance = tf.mean(tf.square(centred), -1, true);
  return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, smallest))), gain), offset);
}

function addTo(sum: Float32Array, values: Float32Array): void {
  for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] as number) + (values[index] as number);
}
