import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import pino from "pino";
import { LeaseLost, openLeases } from "../../daemon/leases.ts";
import type { StateStore } from "../../daemon/module.ts";
import { createStateStore } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const period = 40;
const log = pino({ level: "silent" });
let ids = 0;
const newId = () => `daemon-${++ids}`;

/** One daemon, as far as leases go; `stall` is its NATS being away. */
async function openDaemon(state: StateStore, options: { self?: string; open?: () => string[] } = {}) {
  const gained: string[] = [];
  const lost: string[] = [];
  let isStalled = false;
  const away = async <Result>(work: () => Promise<Result>) => {
    if (isStalled) throw new Error("away");
    return work();
  };
  const leases = await openLeases({
    state: {
      ...state,
      get: (key) => away(() => state.get(key)),
      put: (key, value, revision) => away(() => state.put(key, value, revision)),
      delete: (key, revision) => away(() => state.delete(key, revision)),
    },
    log,
    self: options.self ?? newId(),
    newId,
    wanted: options.open ?? (() => []),
    onGained: (owner) => gained.push(owner),
    onLost: (owner) => lost.push(owner),
    period,
  });
  return {
    leases,
    gained,
    lost,
    stall(stalled: boolean) {
      isStalled = stalled;
    },
  };
}

describe("a lease", () => {
  it("is kept for as long as it is renewed", async () => {
    const state = createStateStore();
    const first = await openDaemon(state);
    const { owner } = first.leases;
    const second = await openDaemon(state, { open: () => [owner] });
    await pause(8 * period);
    assert.deepEqual([first.leases.holds(owner), second.leases.holds(owner), second.gained], [true, false, []]);
    await Promise.all([first.leases[Symbol.asyncDispose](), second.leases[Symbol.asyncDispose]()]);
  });

  it("goes to one of those who wait when its holder is silent, who learns of it and goes on under another name", async () => {
    const state = createStateStore();
    const first = await openDaemon(state);
    const { owner } = first.leases;
    const others = await Promise.all([1, 2, 3].map(() => openDaemon(state, { open: () => [owner] })));
    first.stall(true);
    await until(() => others.some(({ gained }) => gained.length > 0), "somebody to take over");
    assert.equal(first.leases.holds(owner), false);
    await pause(4 * period);
    assert.equal(others.filter(({ gained }) => gained.includes(owner)).length, 1);
    const waiting = first.leases.whenHeld(owner, new AbortController().signal);
    first.stall(false);
    await assert.rejects(waiting, LeaseLost);
    assert.deepEqual(first.lost, [owner]);
    await until(() => first.leases.owner !== owner && first.leases.holds(first.leases.owner), "the first to have a lease again");
    await Promise.all([first, ...others].map(({ leases }) => leases[Symbol.asyncDispose]()));
  });

  it("that was renewed too late is held again where nobody took it", async () => {
    const state = createStateStore();
    const first = await openDaemon(state);
    const { owner } = first.leases;
    first.stall(true);
    await until(() => !first.leases.holds(owner), "the lease to be overdue");
    const waiting = first.leases.whenHeld(owner, new AbortController().signal);
    first.stall(false);
    await waiting;
    assert.deepEqual([first.leases.owner, first.lost], [owner, []]);
    await first.leases[Symbol.asyncDispose]();
  });

  it("is held for all who ask at once", async () => {
    const { leases, lost } = await openDaemon(createStateStore());
    const answers = await Promise.all(Array.from({ length: 20 }, () => leases.confirm(leases.owner)));
    assert.deepEqual([new Set(answers), lost], [new Set([true]), []]);
    await leases[Symbol.asyncDispose]();
  });

  it("that another daemon took over is not given back by its former holder", async () => {
    const state = createStateStore();
    const first = await openDaemon(state);
    const { owner } = first.leases;
    first.stall(true);
    const other = await openDaemon(state, { open: () => [owner] });
    await until(() => other.gained.length > 0, "the other to take over");
    const closing = first.leases[Symbol.asyncDispose]();
    first.stall(false);
    await closing;
    assert.deepEqual([await other.leases.confirm(owner), other.lost], [true, []]);
    await other.leases[Symbol.asyncDispose]();
  });

  it("of a former process of the same data folder is taken at once; one that was given back, too", async () => {
    const state = createStateStore();
    const first = await openDaemon(state);
    const { owner } = first.leases;
    const again = await openDaemon(state, { self: owner });
    assert.equal(again.leases.owner, owner);
    await again.leases[Symbol.asyncDispose]();
    const other = await openDaemon(state, { open: () => [owner] });
    await other.leases.check();
    assert.deepEqual(other.gained, [owner]);
    await Promise.all([first.leases[Symbol.asyncDispose](), other.leases[Symbol.asyncDispose]()]);
  });

  it("of a former process that another daemon took over stays with that one", async () => {
    const state = createStateStore();
    const first = await openDaemon(state);
    const { owner } = first.leases;
    first.stall(true);
    const other = await openDaemon(state, { open: () => [owner] });
    await until(() => other.gained.length > 0, "the other to take over");
    const again = await openDaemon(state, { self: owner, open: () => [owner] });
    await again.leases.check();
    assert.deepEqual([again.leases.owner === owner, again.leases.holds(owner), other.leases.holds(owner)], [false, false, true]);
    await Promise.all([first, other, again].map(({ leases }) => leases[Symbol.asyncDispose]()));
  });
});
