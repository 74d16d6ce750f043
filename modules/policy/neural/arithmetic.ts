/** The few operations that serving needs, on row-major Float32Arrays. Sums are kept in doubles. */

/** `input [inputs] · weights [inputs, outputs] + bias [outputs]`, fast where the input is mostly zeros. */
export function sparseAffine(input: Float32Array, weights: Float32Array, bias: Float32Array): Float32Array {
  const outputs = bias.length;
  const output = Float32Array.from(bias);
  for (let index = 0; index < input.length; index++) {
    const value = input[index] as number;
    if (value === 0) continue;
    const from = index * outputs;
    for (let column = 0; column < outputs; column++) {
      output[column] = (output[column] as number) + value * (weights[from + column] as number);
    }
  }
  return output;
}

/**
 * `input [rows, inputs] · weights [inputs, outputs] + bias [outputs]`.
 *
 * Four columns at a time, whose sums stay in registers.
 */
export function affine(input: Float32Array, rows: number, weights: Float32Array, bias: Float32Array): Float32Array {
  const outputs = bias.length;
  const inputs = weights.length / outputs;
  const result = new Float32Array(rows * outputs);
  const column = new Float64Array(inputs * 4);
  for (let at = 0; at < outputs; at += 4) {
    const width = Math.min(4, outputs - at);
    for (let index = 0; index < inputs; index++) {
      for (let offset = 0; offset < width; offset++) column[index * 4 + offset] = weights[index * outputs + at + offset] as number;
    }
    for (let row = 0; row < rows; row++) {
      let [first, second, third, fourth] = [0, 0, 0, 0];
      for (let index = 0, from = row * inputs, entry = 0; index < inputs; index++, entry += 4) {
        const value = input[from + index] as number;
        first += value * (column[entry] as number);
        second += value * (column[entry + 1] as number);
        third += value * (column[entry + 2] as number);
        fourth += value * (column[entry + 3] as number);
      }
      const to = row * outputs + at;
      result[to] = first + (bias[at] as number);
      if (width > 1) result[to + 1] = second + (bias[at + 1] as number);
      if (width > 2) result[to + 2] = third + (bias[at + 2] as number);
      if (width > 3) result[to + 3] = fourth + (bias[at + 3] as number);
    }
  }
  return result;
}

/** max(0, x), in place. */
export function rectify(values: Float32Array): Float32Array {
  for (let index = 0; index < values.length; index++) if ((values[index] as number) < 0) values[index] = 0;
  return values;
}

export function dot(left: Float32Array, right: Float32Array): number {
  let sum = 0;
  for (let index = 0; index < left.length; index++) sum += (left[index] as number) * (right[index] as number);
  return sum;
}

/** Probabilities in proportion to e^logit. */
export function softmax(logits: ArrayLike<number>): number[] {
  const values = Array.from(logits);
  const most = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
