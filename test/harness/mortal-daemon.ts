/**
 * The daemon, but it ends as by `kill -9` when its module `policy` comes to a certain point of its work in a certain slot, or
 * `orchestration` to one with a certain run. The point stands in the file `DEATH`, such as `after state policy:trained lamp`; without the file nothing happens. It is deleted first, so
 * each happens once.
 *
 * Points: `before` and `after` an `object` or a `deletion` in the object store, or a `state` in the state store or an `event` in the log with
 * the name of what it tells; of a promotion also its stage, `policy:promoted/trial`; of a run, its name. A state that tells nothing new is called `progress`.
 */
import { readFileSync, rmSync } from "node:fs";
import type { ModuleContext, ObjectStore, StateStore } from "../../daemon/module.ts";
import orchestration from "../../modules/orchestration/index.ts";
import policy from "../../modules/policy/index.ts";
import type { SlotState } from "../../modules/policy/serving/slot-state.ts";

const file = process.env.DEATH ?? "";

function death(): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return undefined;
  }
}

function pass(point: string): void {
  if (death() !== point) return;
  rmSync(file);
  process.kill(process.pid, "SIGKILL");
}

async function around<Result>(point: string, work: () => Promise<Result>): Promise<Result> {
  pass(`before ${point}`);
  const result = await work();
  pass(`after ${point}`);
  return result;
}

const nameOf = (event: string, data: { slot?: string; stage?: string; name?: string }) =>
  `${event}${data.stage ? `/${data.stage}` : ""} ${data.slot ?? data.name ?? ""}`;

const mortalObjects = (objects: ObjectStore): ObjectStore => ({
  ...objects,
  put: (bytes) => around("object", () => objects.put(bytes)),
  delete: (...given) => around("deletion", () => objects.delete(...given)),
});

function mortalState(store: StateStore): StateStore {
  const known = new Map<string, string | undefined>();
  return {
    ...store,
    put(key, value, revision) {
      const { slot, state } = value as { slot: string; state: SlotState };
      const { announcement } = state;
      const isNew = announcement !== undefined && known.get(slot) !== announcement.id;
      known.set(slot, announcement?.id);
      const name = isNew ? nameOf(announcement.event, announcement.data as { slot: string }) : `progress ${slot}`;
      return around(`state ${name}`, () => store.put(key, value, revision));
    },
  };
}

const mortalLog = (context: ModuleContext): ModuleContext => ({
  ...context,
  emit: (name, data, ...rest) => around(`event ${nameOf(name, data as object)}`, () => context.emit(name, data, ...rest)),
});

const { start: startPolicy } = policy;
const { start: startOrchestration } = orchestration;
Object.assign(policy, {
  start: (context: ModuleContext) =>
    startPolicy({ ...mortalLog(context), objects: mortalObjects(context.objects), state: mortalState(context.state) }),
});
Object.assign(orchestration, { start: (context: ModuleContext) => startOrchestration(mortalLog(context)) });
await import("../../daemon/main.ts");
