/** A slot of the policy module that has something to learn: which colour a lamp should have at which time. */
import type { StateStore } from "../../daemon/module.ts";
import { createPolicyModule } from "../../modules/policy/index.ts";
import { newSlot, type SlotState } from "../../modules/policy/serving/slot-state.ts";
import type { State } from "../../modules/policy/state.ts";
import { createStateStore, startModule, type TestModule, type TestOptions } from "./module-context.ts";

export type StartedPolicy = TestModule<State>;

export const slot = "lamp";
export const candidates = [{ id: "red" }, { id: "green" }, { id: "blue" }];
export const times = ["day", "night", "dusk"];
export const best: Readonly<Record<string, string>> = { day: "red", night: "green", dusk: "blue" };

export const startPolicy = (options: TestOptions = {}): Promise<StartedPolicy> => startModule(createPolicyModule(), options);

/**
 * @param also what the context holds beside the time
 * @returns the policies that chose, in turn
 */
export async function play(policy: StartedPolicy, rounds: number, also: (round: number) => object = () => ({})): Promise<string[]> {
  const chosenBy: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const time = times[round % times.length] as string;
    const context = { time, ...also(round) };
    const { decision_id, choice, policy: name } = await policy.call("policy:select", { slot, context, candidates });
    await policy.call("policy:outcome", { decision_id, reward: choice === best[time] ? 1 : 0 });
    chosenBy.push(name);
  }
  return chosenBy;
}

/** What `policy:list` says of the slot. */
export const listed = async <Listed>(policy: StartedPolicy): Promise<Listed> =>
  (await policy.call<{ slots: Listed[] }>("policy:list", { slot })).slots[0] as Listed;

/** The data of all events of a type. */
export const told = (policy: StartedPolicy, event: string) => policy.log.ofType(event).map(({ data }) => data as Record<string, unknown>);

/** A state store in which the slot is as it might have become. */
export async function stateWith(changes: Partial<SlotState>): Promise<StateStore> {
  const store = createStateStore();
  await store.put(`slot.${Buffer.from(slot).toString("base64url")}`, { slot, state: { ...newSlot("thompson", []), ...changes } });
  return store;
}
