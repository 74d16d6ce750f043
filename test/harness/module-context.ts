/**
 * Starts a module without NATS: the event log, the state store and the journal are in memory, the repository is a real git
 * store in a temporary folder, and commands of other modules are answered by handlers that the test gives.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import jsonata from "jsonata";
import pino from "pino";
import { openDatabase } from "../../daemon/database.ts";
import { CodedError } from "../../daemon/errors.ts";
import type { EventQuery, Events } from "../../daemon/events/contract.ts";
import { consequenceOf } from "../../daemon/events/envelope.ts";
import { openRepository } from "../../daemon/git/repository.ts";
import type {
  AgentNetwork,
  Call,
  Caller,
  Expressions,
  MessageMeta,
  Module,
  ModuleContext,
  ObjectStore,
  Repository,
  RunJournal,
  StateStore,
} from "../../daemon/module.ts";
import { parseInput } from "../../daemon/parse-input.ts";
import { MemoryEventLog } from "./memory-log.ts";

/** Answers a command of another module. */
export type TestHandler = (input: never, options: { caller?: Caller; cause?: Partial<MessageMeta>; signal?: AbortSignal }) => unknown;

export interface TestOptions {
  /** Command name → handler, for `context.call`. Commands of the module itself are found without. */
  readonly handlers?: Readonly<Record<string, TestHandler>>;
  /** Which of those commands only read. */
  readonly reads?: readonly string[];
  /** Give the log, state, journal or folder of an earlier start to test a restart. */
  readonly log?: MemoryEventLog;
  readonly state?: StateStore;
  readonly journal?: RunJournal;
  readonly objects?: ObjectStore;
  /** What the module uses of the event bus itself. */
  readonly events?: Partial<Events>;
  /** Default: one on which nobody is. */
  readonly agentNetwork?: AgentNetwork;
  /** The repository's folder; default: a temporary one that is removed at the end. */
  readonly folder?: string;
  /** The module's database; default: one in memory. */
  readonly database?: string;
  /** The module's part of `reprise.yaml`. */
  readonly settings?: unknown;
}

/** A started module and everything a test looks at. */
export interface TestModule<State> extends AsyncDisposable {
  readonly context: ModuleContext;
  readonly state: State;
  readonly log: MemoryEventLog;
  readonly folder: string;
  /** What `setAgentCapabilities` was told. */
  readonly agents: Map<string, readonly string[]>;
  /** Calls a command of the module as the router does: input and output are parsed. Name with or without the domain. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any reply; its assertions are the check
  call<Result = any>(
    command: string,
    input: unknown,
    as?: { caller?: Caller; meta?: Partial<MessageMeta>; signal?: AbortSignal },
  ): Promise<Result>;
  /** Stores an event as if another module or a client had emitted it. */
  publish(type: string, data?: unknown, meta?: Partial<MessageMeta>): { id: string; seq: number };
}

export async function startModule<State extends AsyncDisposable>(
  module: Module<State>,
  options: TestOptions = {},
): Promise<TestModule<State>> {
  const log = options.log ?? new MemoryEventLog();
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "reprise-module-")));
  const stop = new AbortController();
  const cleanup = new AsyncDisposableStack();
  if (!options.folder) cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const repository: Repository = cleanup.use(await openRepository(folder));
  const agents = new Map<string, readonly string[]>();

  const publish = (type: string, data: unknown = {}, meta: Partial<MessageMeta> = {}, source = "client") => {
    const id = meta.id ?? newId();
    const event = {
      ...meta,
      id,
      type,
      time: new Date().toISOString(),
      source,
      data,
      correlation: meta.correlation ?? id,
      hops: meta.hops ?? 0,
    };
    return log.append(structuredClone(event));
  };

  const context: ModuleContext = {
    log: pino({ level: process.env.REPRISE_TEST_LOG ?? "silent" }),
    signal: stop.signal,
    settings: module.settings?.schema.parse(options.settings ?? {}),
    expressions,
    state: options.state ?? createStateStore(),
    journal: options.journal ?? createJournal(),
    objects: options.objects ?? createObjectStore(),
    events: {
      query: async (query: EventQuery) => log.query(query),
      find: async (id: string, pattern: string) => log.find(id, pattern),
      ...options.events,
    } as Events,
    repository,
    async emit(name, data, cause, { id } = {}) {
      const declaration = module.events[name];
      if (!declaration) throw new CodedError("INTERNAL", `${module.name} does not declare the event ${name}`);
      const { id: _request, ...inherited } = cause ?? {};
      return publish(name, declaration.schema.parse(data), { ...inherited, ...(id && { id }) }, module.name);
    },
    async call(command, input, callOptions = {}) {
      const handler = options.handlers?.[command];
      if (handler) return (await handler(input as never, callOptions)) as never;
      return call(command, input, { caller: callOptions.caller, meta: callOptions.cause, signal: callOptions.signal });
    },
    isCommand: (name) => module.commands[name] !== undefined || options.handlers?.[name] !== undefined,
    describeCommands: () => [],
    isRead: (name) => module.commands[name]?.reads === true || options.reads?.includes(name) === true,
    agentNetwork: options.agentNetwork ?? noNetwork,
    guard: () => {},
    onDenied: () => {},
    setAgentCapabilities(agent, capabilities) {
      if (capabilities) agents.set(agent, capabilities);
      else agents.delete(agent);
    },
    async project(projectionOptions) {
      return log.project(projectionOptions);
    },
    position: async () => ({ log: log.identity, seq: log.records.length }),
    isOwnFile: async () => false,
    openDatabase: () => openDatabase(options.database ?? ":memory:"),
    async listen(patterns, handle) {
      cleanup.use(log.listen(patterns, (event) => handle(event, consequenceOf(event))));
    },
    newId,
  };

  const state = cleanup.use(await module.start(context));
  cleanup.defer(() => stop.abort());

  const callOf = (as: Parameters<TestModule<State>["call"]>[2] = {}): Call<State> => {
    const id = as.meta?.id ?? newId();
    return {
      state,
      context,
      caller: as.caller ?? { kind: "client", id: "test" },
      meta: { correlation: id, hops: 0, ...as.meta, id },
      signal: as.signal ?? stop.signal,
    };
  };

  const call: TestModule<State>["call"] = async (name, input, as) => {
    const command = module.commands[name] ?? module.commands[`${module.name}:${name}`];
    if (!command) throw new CodedError("COMMAND_NOT_FOUND", `no handler for ${name}`);
    const parsed = parseInput(command.input, input);
    if (!parsed.success) throw new CodedError("REQUEST_INVALID", JSON.stringify(parsed.problems), { issues: parsed.problems });
    return command.output.parse(await command.handle(parsed.data, callOf(as))) as never;
  };

  for (const [pattern, handle] of Object.entries(module.listens ?? {})) {
    cleanup.use(log.listen([pattern], (event) => handle(event, callOf({ meta: { ...event } }))));
  }

  return { context, state, log, folder, agents, call, publish, [Symbol.asyncDispose]: () => cleanup.disposeAsync() };
}

const noNetwork: AgentNetwork = {
  serve: () => ({ announce: () => {}, [Symbol.asyncDispose]: async () => {} }),
  discover: async () => [],
  prompt: async (subject) => {
    throw new CodedError("AGENT_UNREACHABLE", `nobody is at ${subject}`, { subject });
  },
};

let lastTime = 0;

/** Ordered by time, as ids of the daemon are. */
function newId(): string {
  lastTime = Math.max(lastTime + 1, Date.now() * 1000);
  return `${lastTime.toString(32).toUpperCase().padStart(12, "0")}${randomBytes(7).toString("hex").toUpperCase()}`;
}

const expressions: Expressions = {
  async check(expression) {
    try {
      jsonata(expression);
    } catch (cause) {
      throw new CodedError(
        "EXPRESSION_INVALID",
        String((cause as Error).message),
        { position: (cause as { position?: number }).position },
        { cause },
      );
    }
  },
  async evaluate(expression, input, bindings) {
    await expressions.check(expression);
    try {
      return await jsonata(expression).evaluate(input, bindings);
    } catch (cause) {
      throw new CodedError("EXPRESSION_FAILED", String((cause as Error).message), {}, { cause });
    }
  },
};

export function createStateStore(): StateStore {
  const entries = new Map<string, { value: unknown; revision: number }>();
  let revision = 0;
  return {
    async get(key) {
      return structuredClone(entries.get(key)) as never;
    },
    async put(key, value, expected) {
      if (expected !== undefined && (entries.get(key)?.revision ?? 0) !== expected) return undefined;
      entries.set(key, { value: structuredClone(value), revision: ++revision });
      return revision;
    },
    async delete(key, expected) {
      if (expected === undefined || entries.get(key)?.revision === expected) entries.delete(key);
    },
    async entries() {
      return new Map([...entries].map(([key, { value }]) => [key, structuredClone(value)])) as never;
    },
  };
}

export function createObjectStore(): ObjectStore {
  const objects = new Map<string, { bytes: Uint8Array; revision: number; time: number }>();
  let revision = 0;
  return {
    async put(bytes) {
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      objects.set(sha256, { bytes: Uint8Array.from(bytes), revision: ++revision, time: Date.now() });
      return sha256;
    },
    get: async (sha256) => objects.get(sha256)?.bytes,
    list: async (before) =>
      [...objects]
        .filter(([, { time }]) => time < before)
        .map(([sha256, { bytes, revision }]) => ({ sha256, bytes: bytes.length, revision })),
    async delete(sha256, listed) {
      if (listed !== undefined && objects.get(sha256)?.revision !== listed.revision) return false;
      return objects.delete(sha256);
    },
    tidy: async () => 0,
  };
}

export function createJournal(): RunJournal {
  const runs = new Map<string, unknown[]>();
  return {
    async read(run) {
      return structuredClone(runs.get(run) ?? []) as never;
    },
    async append(run, index, entry) {
      const entries = runs.get(run) ?? [];
      if (entries.length !== index) return "conflict";
      runs.set(run, [...entries, structuredClone(entry)]);
      return "appended";
    },
    async delete(run) {
      runs.delete(run);
    },
  };
}
