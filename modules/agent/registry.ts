/**
 * The agents that are known, and the messages that they have not answered: read from the event log, kept in SQLite so that a
 * start need not read all of it again.
 *
 * 1. The log is the truth: what stands here follows from its events alone, and can be made again from them.
 * 2. An event that this daemon emitted is applied at once, and again, without effect, when the log delivers it.
 * 3. Of agents that have ended, the latest `endedAgents` are remembered.
 */
import { CodedError } from "../../daemon/errors.ts";
import type { EventRecord, LogPosition, MessageMeta, ModuleContext, Projection } from "../../daemon/module.ts";
import { openShelf, type Shelf } from "./shelf.ts";
import type { Agent, Message } from "./wire.ts";

/** An agent with what is needed to act for it. */
export interface AgentRecord extends Agent {
  /** Where what it does stands among other messages: it follows from its spawning. */
  readonly place: Omit<MessageMeta, "id">;
  /** Position of the last event that changed its state. */
  readonly seq: number;
  /** Position of the last answer whose cost is in `spent`. */
  readonly charged: number;
}

/** As an earlier version told and kept it. */
type Unowned<Of extends Agent> = Omit<Of, "owner"> & Partial<Pick<Of, "owner">>;

/** A message that waits for its receiver's answer. */
export interface Pending extends Message {
  readonly place: Omit<MessageMeta, "id">;
}

/** The part of an event that changes an agent. */
export type Change = Pick<EventRecord, "type" | "data" | "time" | "seq">;

const endedAgents = 1000;
/** Of agents that were spawned before agents had owners: one of the daemons answers for them all. */
const formerOwner = "former";
const ends = ["agent:completed", "agent:failed", "agent:terminated"];

export class Registry implements AsyncDisposable {
  readonly agents = new Map<string, AgentRecord>();
  /** Messages by the agent that has to answer them. */
  readonly pending = new Map<string, Map<string, Pending>>();
  /** Called for each message that an agent has to answer, after the start. */
  onMessage: (message: Pending) => void = () => {};
  /** Called for each reply, after the start. */
  onReply: (reply: Message) => void = () => {};
  /** Called for each agent that the log tells is held, goes on or has ended, after the start. */
  onChanged: (agent_id: string) => void = () => {};
  /** Called for each agent that comes to be, after the start. */
  onSpawned: (agent: AgentRecord) => void = () => {};
  /** Of the data folder. */
  readonly identity: string;
  readonly #context: ModuleContext;
  readonly #shelf: Shelf;
  readonly #children = new Map<string, Set<string>>();
  readonly #receivers = new Map<string, string>();
  readonly #ended = new Set<string>();
  #projection: Projection | undefined;
  #isLive = false;

  private constructor(context: ModuleContext) {
    this.#context = context;
    this.#shelf = openShelf(context.openDatabase());
    this.identity = this.#shelf.identity(context.newId);
  }

  /** Resolves when everything that the log held is known. */
  static async open(context: ModuleContext): Promise<Registry> {
    const registry = new Registry(context);
    const { agents, messages, position } = registry.#shelf.read((await context.position()).log);
    for (const one of agents) registry.#place(one);
    for (const message of messages) registry.#wait(message);
    registry.#projection = await context.project({
      types: ["agent:*", "orchestration:started"],
      ...(position && { after: position }),
      handle: (events, reached) => registry.#handle(events, reached),
    });
    await registry.#projection.caughtUp;
    registry.#isLive = true;
    return registry;
  }

  /** As get(), but as the log tells of it now, whoever wrote it. @throws CodedError AGENT_NOT_FOUND; the signal's reason */
  async find(agent_id: string, signal: AbortSignal): Promise<AgentRecord> {
    await this.current(signal);
    return this.get(agent_id);
  }

  /** @throws CodedError AGENT_NOT_FOUND */
  get(agent_id: string): AgentRecord {
    const found = this.agents.get(agent_id);
    if (found === undefined) throw new CodedError("AGENT_NOT_FOUND", `There is no agent ${agent_id}.`, { agent_id });
    return found;
  }

  /** Its agents that have not ended. */
  childrenOf(parent: string): AgentRecord[] {
    return [...(this.#children.get(parent) ?? [])].map((id) => this.get(id));
  }

  countChildren(parent: string): number {
    return this.#children.get(parent)?.size ?? 0;
  }

  /** A message that is not answered yet. */
  pendingMessage(message_id: string): Pending | undefined {
    return this.pending.get(this.#receivers.get(message_id) ?? "")?.get(message_id);
  }

  /** The message is answered; told before the log delivers the reply. */
  settle(message_id: string): void {
    const receiver = this.#receivers.get(message_id);
    if (receiver === undefined) return;
    this.#receivers.delete(message_id);
    const waiting = this.pending.get(receiver);
    waiting?.delete(message_id);
    if (waiting?.size === 0) this.pending.delete(receiver);
  }

  /** Its run began; told before the log delivers the run's event. */
  began(agent_id: string, run_id: string, capabilities?: string[]): void {
    const found = this.agents.get(agent_id);
    if (found !== undefined && found.run_id === undefined) this.#place({ ...found, run_id, ...(capabilities && { capabilities }) });
  }

  /** Those of this owner. */
  of(owner: string): AgentRecord[] {
    return [...this.agents.values()].filter((one) => one.owner === owner);
  }

  /** Of agents that live, or have ended with messages that nobody told are unanswered. */
  owners(): Set<string> {
    const unanswered = [...this.pending.keys()].flatMap((agent_id) => this.agents.get(agent_id) ?? []);
    return new Set([...this.living(), ...unanswered].map(({ owner }) => owner));
  }

  /** Those that have not ended, the first ones first. */
  *living(): Generator<AgentRecord> {
    for (const one of this.agents.values()) if (isLiving(one)) yield one;
  }

  /** Applies an event of this daemon before the log delivers it. */
  apply(change: Change, place: Omit<MessageMeta, "id">): void {
    const { agent_id } = change.data as { agent_id?: string };
    if (agent_id === undefined) return;
    const known = this.agents.get(agent_id);
    if (change.type === "agent:spawned") {
      if (known !== undefined) return;
      this.#place({ ...(change.data as Unowned<Agent>), place, seq: change.seq, charged: 0 });
      if (this.#isLive) this.onSpawned(this.get(agent_id));
    } else if (known !== undefined && known.seq < change.seq) {
      const changed = changedBy(known, change);
      if (changed !== undefined) this.#place({ ...changed, seq: change.seq });
    }
  }

  /** Resolves once everything that the log holds now is known, whoever wrote it. */
  async current(signal: AbortSignal): Promise<void> {
    await this.#projection?.current(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#projection?.[Symbol.asyncDispose]();
    this.#shelf[Symbol.dispose]();
  }

  #handle(events: readonly EventRecord[], position: LogPosition): void {
    const touched = new Set<string>();
    const messages = new Map<string, Pending | undefined>();
    const arrived: Pending[] = [];
    for (const event of events) {
      if (event.type === "agent:message_sent") {
        const { from, in_reply_to, usage } = event.data as Message;
        if (in_reply_to !== undefined) {
          this.settle(in_reply_to);
          messages.set(in_reply_to, undefined);
          if (this.#isLive) this.onReply(event.data as Message);
        }
        if (usage !== undefined && this.#charge(from, usage, event.seq)) touched.add(from);
        const waiting = this.#await(event);
        if (waiting === undefined) continue;
        messages.set(waiting.message_id, waiting);
        arrived.push(waiting);
      } else if (event.type === "agent:spawned" || changing.has(event.type)) {
        this.apply(event, placeAfter(event));
        const { agent_id } = event.data as { agent_id?: string };
        if (agent_id !== undefined) touched.add(agent_id);
      }
    }
    const forgotten = this.#forgetOldest();
    this.#shelf.write({ agents: new Map([...touched, ...forgotten].map((id) => [id, this.agents.get(id)])), messages, position });
    if (!this.#isLive) return;
    for (const message of arrived) this.onMessage(message);
    for (const agent_id of touched) this.onChanged(agent_id);
  }

  /** @returns whether there is such an agent */
  #charge(agent_id: string, { tokens, cost = 0 }: NonNullable<Message["usage"]>, seq: number): boolean {
    const found = this.agents.get(agent_id);
    if (found === undefined || found.charged >= seq) return false;
    const spent = { tokens: tokens + (found.spent?.tokens ?? 0), cost: cost + (found.spent?.cost ?? 0) };
    this.agents.set(agent_id, { ...found, spent, charged: seq });
    return true;
  }

  /** Who plays a pattern hears messages by it; it owes an answer only to those that ask for one. Others answer all. */
  #await(event: EventRecord): Pending | undefined {
    const message = event.data as Message;
    const receiver = this.agents.get(message.to);
    if (receiver === undefined || message.in_reply_to !== undefined) return undefined;
    if (receiver.pattern !== undefined && message.expects_reply !== true) return undefined;
    const waiting = { ...message, place: placeAfter(event) };
    this.#wait(waiting);
    return waiting;
  }

  #wait(message: Pending): void {
    this.#receivers.set(message.message_id, message.to);
    const waiting = this.pending.get(message.to) ?? new Map<string, Pending>();
    this.pending.set(message.to, waiting.set(message.message_id, message));
  }

  #place({ owner = formerOwner, ...rest }: Unowned<AgentRecord>): void {
    const one = { ...rest, owner };
    const { agent_id, parent } = one;
    this.agents.set(agent_id, one);
    const isActive = isLiving(one);
    this.#context.setAgentCapabilities(agent_id, isActive ? (one.capabilities ?? ["*"]) : undefined, one.approval);
    if (!isActive) this.#ended.add(agent_id);
    if (parent === undefined) return;
    const siblings = this.#children.get(parent) ?? new Set<string>();
    if (isActive) this.#children.set(parent, siblings.add(agent_id));
    else if (siblings.delete(agent_id) && siblings.size === 0) this.#children.delete(parent);
  }

  /** Those with messages that nobody told are unanswered stay until they were. */
  #forgetOldest(): string[] {
    const forgotten: string[] = [];
    for (const agent_id of this.#ended) {
      if (this.#ended.size <= endedAgents) break;
      if (this.pending.has(agent_id)) continue;
      this.#ended.delete(agent_id);
      this.agents.delete(agent_id);
      forgotten.push(agent_id);
    }
    return forgotten;
  }
}

export const isLiving = ({ state }: Pick<Agent, "state">): boolean => state === "active" || state === "paused";

const changing = new Set(["orchestration:started", "agent:paused", "agent:resumed", ...ends]);

/** @returns undefined when the event does not change it */
function changedBy(one: AgentRecord, { type, data, time }: Change): AgentRecord | undefined {
  if (!isLiving(one)) return undefined;
  const { run_id, capabilities, error } = data as Partial<Agent>;
  switch (type) {
    case "orchestration:started":
      // A run that the agent's own run started is played in its name too.
      return one.run_id === undefined ? { ...one, run_id, ...(capabilities && { capabilities }) } : undefined;
    case "agent:paused":
      return { ...one, state: "paused" };
    case "agent:resumed":
      return { ...one, state: "active" };
    case "agent:completed":
    case "agent:failed":
    case "agent:terminated": {
      const state = type.slice("agent:".length) as "completed" | "failed" | "terminated";
      return { ...one, state, ended_at: time, ...(state === "failed" && error && { error }) };
    }
    default:
      return undefined;
  }
}

/** Where a consequence of this event stands. */
export const placeAfter = ({ id, correlation, hops, run, agent, traceparent }: EventRecord): Omit<MessageMeta, "id"> => ({
  correlation,
  causation: id,
  hops: hops + 1,
  ...(run && { run }),
  ...(agent && { agent }),
  ...(traceparent && { traceparent }),
});
