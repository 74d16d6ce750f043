/**
 * What is this daemon's to do, of several on one server: each run, each agent belongs to an owner, and whoever holds the owner's
 * lease acts for it. Pure.
 *
 * 1. A lease is an entry in the state store that its holder writes again every 5 s, by compare-and-set. One that nobody wrote for
 *    15 s, or that is not there, can be taken over; of several that try, one succeeds.
 * 2. A daemon holds a lease of its own, and those that it took over. It judges by its own clock alone: that of another holder by
 *    how long the entry has not changed, its own by when it last began to write.
 * 3. A daemon that was stopped for longer finds its lease overdue before it does anything else, and taken when it writes.
 */
import type { Logger } from "pino";
import type { StateStore } from "./module.ts";

/** Another daemon holds the lease. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
}

export interface LeaseOptions {
  readonly state: StateStore;
  readonly log: Logger;
  /** Identity of the data folder: a former process that held leases under it is gone for certain. */
  readonly self: string;
  newId(): string;
  /** Leases that somebody should hold: of owners for whom something is to be done, and of what one daemon does for all. */
  wanted(): Iterable<string>;
  /** What belongs to this lease is ours from now on. */
  onGained(owner: string): void;
  /** It is somebody else's. */
  onLost(owner: string): void;
  /** Milliseconds; shorter in tests. */
  readonly period?: number;
}

export interface Leases extends AsyncDisposable {
  /** Owner of what is begun here. */
  readonly owner: string;
  /** Is the lease held, and not overdue? */
  holds(owner: string): boolean;
  /** Is it this daemon's as far as it knows? It may be overdue, and another's: ask `whenHeld` before acting. */
  owns(owner: string): boolean;
  /** Resolves when it is held. @throws LeaseLost when another daemon has it; the signal's reason */
  whenHeld(owner: string, signal: AbortSignal): Promise<void>;
  /** Writes the lease now, to learn whether it is still held. */
  confirm(owner: string): Promise<boolean>;
  /** Takes over now what nobody holds. */
  check(): Promise<void>;
}

/** What stands in the state store; the beat makes each writing a change. */
interface Entry {
  readonly holder: string;
  readonly beat: number;
}

/** A lease that is held. */
interface Held {
  revision: number;
  /** When the write began that was last confirmed, in milliseconds of the process's clock. */
  renewed: number;
}

const periodMilliseconds = 5_000;
/** Periods after which a lease is overdue. */
const overduePeriods = 3;
const keyOf = (owner: string) => `lease.${owner}`;

export async function openLeases(options: LeaseOptions): Promise<Leases> {
  const { state, log, self, period = periodMilliseconds } = options;
  const held = new Map<string, Held>();
  /** Leases of others: since when each has been as it is. */
  const seen = new Map<string, { revision: number; since: number }>();
  const waiting = new Set<() => void>();
  /** Leases that are being written again: whoever asks meanwhile gets the same answer. */
  const renewing = new Map<string, Promise<boolean>>();
  const lifetime = overduePeriods * period;
  let beat = 0;
  let ticking: Promise<void> = Promise.resolve();
  let isClosed = false;

  async function take(owner: string, revision: number): Promise<boolean> {
    const begun = performance.now();
    const taken = await state.put(keyOf(owner), { holder: self, beat: beat++ } satisfies Entry, revision);
    if (taken !== undefined) held.set(owner, { revision: taken, renewed: begun });
    return taken !== undefined;
  }

  const read = (name: string) => state.get<Entry>(keyOf(name));

  /** What a former process had is ours at once, unless another daemon has taken it over. */
  async function takeOwn(): Promise<string> {
    const entry = await read(self);
    if ((entry === undefined || entry.value.holder === self) && (await take(self, entry?.revision ?? 0))) return self;
    const fresh = options.newId();
    await take(fresh, 0);
    return fresh;
  }

  let owner = await takeOwn();

  function renew(name: string): Promise<boolean> {
    const known = renewing.get(name);
    if (known !== undefined) return known;
    const renewed = renewOnce(name).finally(() => renewing.delete(name));
    renewing.set(name, renewed);
    return renewed;
  }

  async function renewOnce(name: string): Promise<boolean> {
    const lease = held.get(name);
    if (lease === undefined) return false;
    const isHeld = (await take(name, lease.revision)) || (await takeBack(name));
    if (!isHeld && held.delete(name)) options.onLost(name);
    for (const wake of waiting) wake();
    return isHeld;
  }

  /** An earlier write of ours may have been stored without an answer. */
  async function takeBack(name: string): Promise<boolean> {
    const entry = await read(name);
    return entry?.value.holder === self && (await take(name, entry.revision));
  }

  async function takeOverdue(name: string): Promise<void> {
    const entry = await read(name);
    const now = performance.now();
    if (entry !== undefined && entry.value.holder !== self) {
      const before = seen.get(name);
      if (before?.revision !== entry.revision) seen.set(name, { revision: entry.revision, since: now });
      if (before?.revision !== entry.revision || now - before.since < lifetime) return;
    }
    if (!(await take(name, entry?.revision ?? 0))) return;
    seen.delete(name);
    options.onGained(name);
  }

  async function tick(): Promise<void> {
    for (const name of [...held.keys()]) await renew(name);
    if (!held.has(owner)) {
      owner = options.newId();
      await take(owner, 0);
    }
    const open = new Set(options.wanted());
    for (const name of open) if (!held.has(name)) await takeOverdue(name);
    for (const name of held.keys()) if (name !== owner && !open.has(name)) await release(name);
  }

  async function release(name: string): Promise<void> {
    const lease = held.get(name);
    held.delete(name);
    // Not that of another daemon, which may have taken over what was overdue.
    await state.delete(keyOf(name), lease?.revision);
  }

  function check(): Promise<void> {
    ticking = ticking.then(async () => {
      if (isClosed) return;
      await tick().catch((error: unknown) => log.warn({ error }, "the lease of this daemon could not be renewed"));
    });
    return ticking;
  }

  const timer = setInterval(check, period).unref();

  const holds = (name: string): boolean => {
    const lease = held.get(name);
    return lease !== undefined && performance.now() - lease.renewed < lifetime;
  };

  return {
    get owner() {
      return owner;
    },
    holds,
    owns: (name) => held.has(name),
    async whenHeld(name, signal) {
      while (!holds(name)) {
        signal.throwIfAborted();
        if (!held.has(name)) throw new LeaseLost(`the lease of ${name} is held by another daemon`);
        await new Promise<void>((resolve) => {
          const wake = () => {
            waiting.delete(wake);
            signal.removeEventListener("abort", wake);
            resolve();
          };
          waiting.add(wake);
          signal.addEventListener("abort", wake, { once: true });
        });
      }
    },
    confirm: renew,
    check,
    async [Symbol.asyncDispose]() {
      isClosed = true;
      clearInterval(timer);
      await ticking;
      // Who takes over need not wait; while NATS is away it has to.
      await Promise.all([...held.keys()].map(release)).catch(() => {});
    },
  };
}
