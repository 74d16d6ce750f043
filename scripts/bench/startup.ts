/** Time to ready on a set-up tree, and memory when idle. */
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { startDaemonProcess } from "../../test/harness/daemon-process.ts";
import type { Figure } from "./main.ts";
import { median } from "./measure.ts";

const settleTime = 3_000;

export async function startup(): Promise<Figure[]> {
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    await using daemon = await startDaemonProcess();
    times.push(daemon.readyMilliseconds);
  }
  await using daemon = await startDaemonProcess();
  await pause(settleTime);
  const status = await readFile(`/proc/${daemon.process.pid}/status`, "utf8");
  const resident = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  const ready = median(times) / 1000;
  return [
    { name: "start to ready on a set-up tree", measured: ready, unit: "s", target: "≤ 1.5", met: ready <= 1.5 },
    { name: "idle resident memory of the daemon", measured: resident, unit: "MB", target: "≤ 120", met: resident <= 120 },
  ];
}
