/** Numbers that a seed determines: the small fast counter generator of Chris Doty-Humphrey (sfc32, from PractRand). */

/** Uniform in [0, 1), 32 bits each. Seeds are taken modulo 2³². */
export function randomNumbers(...seeds: readonly number[]): () => number {
  const [first = 0, second = 0, third = 0] = seeds;
  let [a, b, c, counter] = [first | 0, second | 0, third | 0, 1];
  const next = () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  // The first numbers still look like the seeds.
  for (let round = 0; round < 15; round++) next();
  return next;
}

/** Standard normal (Box and Muller 1958). */
export function normalNumbers(uniform: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
