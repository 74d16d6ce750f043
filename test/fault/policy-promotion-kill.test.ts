import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Mortal, startMortal } from "../harness/mortal.ts";
import { playUntil } from "../harness/policy-load.ts";
import { assertPoliciesSound, type ListedSlot, listSlot } from "../harness/policy-state.ts";
import { readStoredEvents } from "../harness/stored-events.ts";

let mortal: Mortal;
before(async () => {
  mortal = await startMortal("learning:\n  baseline: uniform\n  learn: []\n");
});
after(() => mortal?.[Symbol.asyncDispose]());

/** Of each step, and in which slot. */
const points = [
  ["before state", "one"],
  ["after state", "other"],
  ["after event", "third"],
] as const;
const slots = points.map(([, slot]) => slot);

const served = ({ serving, contender }: ListedSlot) => [serving, contender && `${contender.policy} ${contender.role}`];
const toldIn = async (slot: string) =>
  (await readStoredEvents(mortal.daemon))
    .filter(({ type, data }) => data.slot === slot && (type === "policy:promoted" || type === "policy:rolled_back"))
    .map(({ type, data }) => `${type}${data.stage ? `/${data.stage}` : ""}`);

describe("a kill at each step of a change of what serves", () => {
  const steps = [
    {
      name: "the trial",
      type: "policy:promoted/trial",
      // Before the change it was asked for, and is again; a full promotion comes by itself, as outcomes come.
      begin: (slot: string) => mortal.begin("policy:promote", { slot, policy: "linucb" }),
      again: (slot: string) => mortal.ask("policy:promote", { slot, policy: "linucb" }),
      from: ["uniform", undefined],
      to: ["uniform", "linucb trial"],
    },
    {
      name: "the full promotion",
      type: "policy:promoted/serving",
      begin: (slot: string) => {
        playing = playUntil(mortal.client, [slot], async () => (await listSlot(mortal.client, slot)).serving === "linucb");
      },
      again: () => playing,
      to: ["linucb", "uniform guard"],
    },
    {
      name: "the rollback",
      type: "policy:rolled_back",
      begin: (slot: string) => mortal.begin("policy:rollback", { slot }),
      again: (slot: string) => mortal.ask("policy:rollback", { slot }),
      from: ["linucb", "uniform guard"],
      to: ["uniform", undefined],
    },
  ];
  let playing: Promise<void> | undefined;

  it("comes after outcomes that prove it", () => playUntil(mortal.client, slots, (joined) => joined >= 3_600));

  for (const [index, { name, type, begin, again, from, to }] of steps.entries()) {
    for (const [point, slot] of points) {
      it(`${point === "before state" ? "leaves what served" : "leaves the new one, told once"}, ${point}: ${name}`, async () => {
        const { daemon, client } = mortal;
        await mortal.dieAt(`${point} ${type} ${slot}`, () => begin(slot));
        if (point === "before state") {
          if (from) assert.deepEqual(served(await assertPoliciesSound(daemon, client, slot, "uniform")), from);
          await again(slot);
        }
        await playing;
        const expected = steps.slice(0, index + 1).map((step) => step.type);
        for (let starts = 0; starts < 2; starts++) {
          assert.deepEqual(served(await assertPoliciesSound(daemon, client, slot, "uniform")), to);
          assert.deepEqual(await toldIn(slot), expected);
          const { policy } = await mortal.ask<{ policy: string }>("policy:select", { slot, candidates: [{ id: "red" }] });
          assert.ok(to.some((label) => label?.split(" ")[0] === policy));
          if (starts > 0 || point !== "after state") break;
          // A later start does not tell it again.
          await daemon.kill("SIGKILL");
          await daemon.restart();
        }
      });
    }
  }
});
