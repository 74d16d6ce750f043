/**
 * TensorFlow.js, loaded when training first asks for it: serving never does.
 *
 * Native code (@tensorflow/tfjs-node, which is not a dependency) serves where the user has installed it and it loads; otherwise
 * WebAssembly, on one thread, so that the same batches give the same bits.
 */
import util from "node:util";
import type { Tf } from "./network.ts";

export interface Backend {
  readonly tf: Tf;
  readonly name: "native" | "wasm";
}

let loading: Promise<Backend> | undefined;

export function loadBackend(): Promise<Backend> {
  loading ??= loadNative().then((native) => native ?? loadWasm());
  return loading;
}

async function loadNative(): Promise<Backend | undefined> {
  try {
    const location = import.meta.resolve("@tensorflow/tfjs-node");
    // It still calls what Node 23 took away.
    Object.assign(util, { isNullOrUndefined: (value: unknown) => value === null || value === undefined });
    const tf = (await import(location)) as Tf;
    await tf.ready();
    return tf.getBackend() === "tensorflow" ? { tf, name: "native" } : undefined;
  } catch {
    // Not installed, or its library was not: the import throws.
    return undefined;
  }
}

async function loadWasm(): Promise<Backend> {
  const tf = await import("@tensorflow/tfjs-core");
  // Registers the gradients of the core's operations, which the core does not do itself.
  await import("@tensorflow/tfjs-layers");
  await import("@tensorflow/tfjs-backend-wasm");
  await tf.setBackend("wasm");
  await tf.ready();
  return { tf, name: "wasm" };
}
