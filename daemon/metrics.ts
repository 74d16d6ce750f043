/** Counters, gauges and histograms in the text format of Prometheus (version 0.0.4). */
import { monitorEventLoopDelay } from "node:perf_hooks";

type Labels = Readonly<Record<string, string>>;

export interface Counter {
  add(labels?: Labels, amount?: number): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

export interface Metrics {
  /** Names end in `_total`. Label values must come from a bounded set: each combination is kept for ever. */
  counter(name: string, help: string): Counter;
  /** A value that is read when it is asked for. */
  observed(name: string, type: "counter" | "gauge", help: string, read: () => number): void;
  /** @param buckets upper bounds, ascending; by default seconds from 0.5 ms to 10 s */
  histogram(name: string, help: string, buckets?: readonly number[]): Histogram;
  /** The whole registry as text. */
  text(): string;
}

const secondsBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

export function createMetrics(): Metrics {
  const families = new Map<string, () => string>();

  function register(name: string, type: string, help: string, samples: () => string[]) {
    if (families.has(name)) throw new Error(`the metric ${name} is registered twice`);
    families.set(name, () => [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples(), ""].join("\n"));
  }

  return {
    counter(name, help) {
      const series = new Map<string, number>();
      register(name, "counter", help, () => [...series].map(([labels, value]) => `${name}${braces(labels)} ${value}`));
      return {
        add(labels, amount = 1) {
          const key = render(labels);
          series.set(key, (series.get(key) ?? 0) + amount);
        },
      };
    },
    observed(name, type, help, read) {
      register(name, type, help, () => [`${name} ${read()}`]);
    },
    histogram(name, help, buckets = secondsBuckets) {
      const series = new Map<string, { counts: number[]; sum: number }>();
      register(name, "histogram", help, () => [...series].flatMap(([labels, data]) => histogramSamples(name, labels, buckets, data)));
      return {
        observe(value, labels) {
          const key = render(labels);
          let data = series.get(key);
          if (data === undefined) {
            data = { counts: new Array<number>(buckets.length + 1).fill(0), sum: 0 };
            series.set(key, data);
          }
          const index = buckets.findIndex((bound) => value <= bound);
          const slot = index === -1 ? buckets.length : index;
          data.counts[slot] = (data.counts[slot] ?? 0) + 1;
          data.sum += value;
        },
      };
    },
    text: () => [...families.values()].map((family) => family()).join(""),
  };
}

function histogramSamples(name: string, labels: string, buckets: readonly number[], { counts, sum }: { counts: number[]; sum: number }) {
  let total = 0;
  const samples = counts.map((count, index) => {
    total += count;
    const bound = `le="${buckets[index] ?? "+Inf"}"`;
    return `${name}_bucket${braces(labels === "" ? bound : `${labels},${bound}`)} ${total}`;
  });
  return [...samples, `${name}_sum${braces(labels)} ${sum}`, `${name}_count${braces(labels)} ${total}`];
}

const braces = (labels: string) => (labels === "" ? "" : `{${labels}}`);

function render(labels: Labels | undefined): string {
  if (labels === undefined) return "";
  return Object.entries(labels)
    .map(([key, value]) => `${key}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`)
    .join(",");
}

/** Memory, processor time and event-loop lag of this process. The lag is the worst since the last reading. */
export function registerProcessMetrics(metrics: Metrics): Disposable {
  const resolution = 100;
  const delay = monitorEventLoopDelay({ resolution });
  delay.enable();
  metrics.observed("process_resident_memory_bytes", "gauge", "Resident memory.", () => process.memoryUsage.rss());
  metrics.observed("process_uptime_seconds", "gauge", "Time since the start of the process.", () => process.uptime());
  metrics.observed("process_cpu_seconds_total", "counter", "Processor time, user and system.", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  metrics.observed("nodejs_eventloop_lag_seconds", "gauge", "Longest delay of the event loop since the last reading.", () => {
    const worst = Math.max(0, delay.max / 1e9 - resolution / 1e3);
    delay.reset();
    return worst;
  });
  return { [Symbol.dispose]: () => void delay.disable() };
}
