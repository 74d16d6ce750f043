/** Forward passes of the networks of trained policies: plain code, which serves, beside TensorFlow.js, which trains. */
import { encode } from "../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { type Architecture, smallNetwork } from "../../modules/policy/neural/architecture.ts";
import { loadBackend } from "../../modules/policy/neural/backend.ts";
import { situationTensors } from "../../modules/policy/neural/batch.ts";
import { initialWeights, networkOf } from "../../modules/policy/neural/network.ts";
import type { Figure } from "./main.ts";
import { latency, median } from "./measure.ts";

const candidates = 32;
const rounds = 5;

const situation = encode(
  defaultSpec,
  { task: "summarise", size: 3, words: "a report about the harvest of last year" },
  Array.from({ length: candidates }, (_, index) => ({
    id: `agent ${index}`,
    features: { cost: index / candidates, tags: ["fast", "small"] },
  })),
);

export async function networks(): Promise<Figure[]> {
  const start = performance.now();
  const { name } = await loadBackend();
  const loading = performance.now() - start;
  return [
    { name: `loading TensorFlow.js (${name})`, measured: loading, unit: "ms", target: "stated", met: true },
    ...(await forward("small network", smallNetwork, 200)),
    ...(await forward("transformer d 64, 2 layers, 4 heads", { kind: "transformer", width: 64, heads: 4, layers: 2 }, 40, 5)),
    ...(await forward("transformer d 256, 6 layers, 8 heads", { kind: "transformer", width: 256, heads: 8, layers: 6 }, 5)),
  ];
}

/** Both ways in turn, and the median of each: the machine may be busy with other things at times. */
async function forward(name: string, architecture: Architecture, count: number, most?: number): Promise<Figure[]> {
  const { tf, name: backend } = await loadBackend();
  const network = networkOf(architecture, defaultSpec);
  const weights = initialWeights(network.parameters, 1);
  const tensors = network.parameters.map(({ shape }, index) => tf.tensor(weights[index] as Float32Array, [...shape]));
  const serve = async () => network.score(weights, situation);
  const graph = async () => tf.tidy(() => network.graph(tf, tensors, situationTensors(tf, defaultSpec, [situation])).dataSync());
  const served: number[] = [];
  const trained: number[] = [];
  for (let round = 0; round < rounds; round++) {
    served.push((await latency(count, serve)).p50);
    trained.push((await latency(count, graph)).p50);
  }
  tf.dispose(tensors);
  const figure = (way: string, measured: number): Figure => ({
    name: `${name}, ${candidates} candidates: forward ${way}`,
    measured,
    unit: "ms",
    target: most === undefined ? "stated" : `≤ ${most}`,
    met: most === undefined || measured <= most,
  });
  return [figure("in plain code", median(served)), figure(`on ${backend}`, median(trained))];
}
