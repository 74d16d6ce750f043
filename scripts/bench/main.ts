/**
 * `npm run bench [section…]`: measures what the project promises, each figure beside the raw limit measured in the same run.
 * Prints a table, then the same as one line of JSON. Exits with 1 when a target is missed.
 */
import { availableParallelism, cpus, totalmem } from "node:os";
import { agents } from "./agents.ts";
import { compositions } from "./compositions.ts";
import { delivery } from "./delivery.ts";
import { emitAlways, emitRelaxed } from "./emit.ts";
import { explain } from "./explain.ts";
import { learningSpeed } from "./learning-speed.ts";
import { networks } from "./networks.ts";
import { requests } from "./requests.ts";
import { runs } from "./runs.ts";
import { startup } from "./startup.ts";

/** One line of the table. `target` and `measured` are comparable; `met` says whether the target is reached. */
export interface Figure {
  readonly name: string;
  readonly measured: number;
  readonly unit: string;
  readonly target: string;
  readonly met: boolean;
  readonly note?: string;
}

const sections: Record<string, () => Promise<Figure[]>> = {
  startup,
  requests,
  emitAlways,
  emitRelaxed,
  delivery,
  agents,
  compositions,
  explain,
  runs,
  learningSpeed,
  networks,
};

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => sections[name] === undefined);
if (unknown !== undefined) throw new Error(`no section ${unknown}; there are ${Object.keys(sections).join(", ")}`);

const figures: Figure[] = [];
for (const [name, section] of Object.entries(sections)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  process.stderr.write(`measuring ${name} …\n`);
  figures.push(...(await section()));
}

const machine = {
  cpu: cpus()[0]?.model ?? "unknown",
  cores: availableParallelism(),
  memory_gb: Math.round(totalmem() / 2 ** 30),
  node: process.version,
  platform: `${process.platform} ${process.arch}`,
};
const width = Math.max(...figures.map(({ name }) => name.length));
const lines = figures.map(({ name, measured, unit, target, met, note }) => {
  const value = `${measured >= 100 ? Math.round(measured) : measured.toFixed(2)} ${unit}`;
  return `${met ? "✓" : "✗"} ${name.padEnd(width)}  ${value.padStart(16)}   ${target.padEnd(14)} ${note ?? ""}`;
});
process.stdout.write(`${machine.cpu}, ${machine.cores} cores, ${machine.memory_gb} GB, Node ${machine.node}\n${lines.join("\n")}\n`);
const missed = figures.filter(({ met }) => !met).map(({ name }) => name);
process.stdout.write(`${JSON.stringify({ machine, figures, missed })}\n`);
if (missed.length > 0) {
  process.stderr.write(`${missed.length} of ${figures.length} targets missed: ${missed.join("; ")}\n`);
  process.exitCode = 1;
}
