/** Gives one module its view of the daemon. */
import { join } from "node:path";
import type { Logger } from "pino";
import { openDatabase } from "./database.ts";
import type { Delivery } from "./events/delivery.ts";
import { consequenceOf } from "./events/envelope.ts";
import type { EventBus } from "./events/event-bus.ts";
import type { EventLog } from "./events/event-log.ts";
import { newId } from "./events/ids.ts";
import type {
  AgentNetwork,
  Caller,
  Expressions,
  Module,
  ModuleContext,
  ObjectStore,
  Repository,
  RunJournal,
  StateStore,
} from "./module.ts";
import { ModuleError } from "./module-host.ts";
import { isOwnFile } from "./own-files.ts";
import type { Router } from "./router.ts";

/** What all modules share. */
export interface SharedServices {
  readonly router: Router;
  readonly bus: EventBus;
  readonly eventLog: EventLog;
  readonly delivery: Delivery;
  readonly expressions: Expressions;
  readonly repository: Repository;
  readonly journal: RunJournal;
  readonly agentNetwork: AgentNetwork;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** The data folder. */
  readonly data: string;
  /** Module → its part of `reprise.yaml`. */
  readonly settings: ReadonlyMap<string, unknown>;
  stateFor(module: string): StateStore;
  objectsFor(module: string): ObjectStore;
}

export function contextFor(module: Module, shared: SharedServices): ModuleContext {
  const { router, bus, delivery, signal } = shared;
  const log = shared.log.child({ module: module.name });
  const self: Caller = { kind: "module", id: module.name };
  return {
    log,
    signal,
    settings: shared.settings.get(module.name),
    expressions: shared.expressions,
    events: bus,
    state: shared.stateFor(module.name),
    objects: shared.objectsFor(module.name),
    journal: shared.journal,
    repository: shared.repository,
    newId,
    async emit(name, data, cause = {}, options = {}) {
      const declared = module.events[name];
      if (declared === undefined) throw new ModuleError(`module ${module.name} emits ${name}, which it does not declare`);
      const parsed = declared.schema.safeParse(data);
      if (!parsed.success)
        throw new ModuleError(`module ${module.name} emits ${name} with data that its schema refuses: ${parsed.error.message}`);
      return bus.emitOwn(name, parsed.data, module.name, cause, options.id);
    },
    call<Result>(command: string, input: unknown, options: Parameters<ModuleContext["call"]>[2] = {}) {
      const id = newId();
      const meta = { id, correlation: id, hops: 0, ...options.cause };
      return router.call(command, input, options.caller ?? self, meta, options.signal) as Promise<Result>;
    },
    isCommand: (name) => router.has(name),
    describeCommands: () => router.describe(),
    isRead: (name) => router.isRead(name),
    setAgentCapabilities: (agent, capabilities, approval) => router.setAgentCapabilities(agent, capabilities, approval),
    agentNetwork: shared.agentNetwork,
    guard: (guard) => router.guard(guard),
    onDenied: (observe) => router.onDenied(observe),
    project: (options) => shared.eventLog.project(options, signal),
    position: async () => ({ log: shared.eventLog.identity, seq: await shared.eventLog.lastSequence() }),
    isOwnFile: (path) => isOwnFile(path, { data: shared.data, repository: shared.repository.folder }),
    openDatabase: () => openDatabase(join(shared.data, "modules", `${module.name}.sqlite`)),
    async listen(patterns, handle) {
      if (module.listens !== undefined) throw new ModuleError(`module ${module.name} declares what it listens to; it cannot change that`);
      await delivery.listen({ name: module.name, patterns, handle: (event) => handle(event, consequenceOf(event)) });
    },
  };
}
