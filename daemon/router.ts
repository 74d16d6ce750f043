/**
 * Routes commands to the modules that answer them: validates the input, checks the caller's capabilities, bounds the time.
 *
 * Commands arrive over NATS (see nats/command-service.ts) or from a module; both pass through `call`, so that no check can be
 * gone round.
 */
import { z } from "zod";
import { covers } from "./capabilities.ts";
import { CodedError } from "./errors.ts";
import type { Commands } from "./events/event-bus.ts";
import type { Counter, Histogram, Metrics } from "./metrics.ts";
import type { Attempt, Call, Caller, Command, CommandDescription, Guard, MessageMeta, Module, ModuleContext } from "./module.ts";
import { domainOf } from "./names.ts";
import { issuesOf, type Problem, parseInput, tellIssues } from "./parse-input.ts";

/** A module that has started. */
export interface RunningModule {
  readonly module: Module;
  readonly context: ModuleContext;
  readonly state: AsyncDisposable;
}

interface Route {
  readonly command: Command;
  readonly owner: RunningModule;
}

const defaultDeadline = 30;

export class Router implements Commands {
  readonly #routes = new Map<string, Route>();
  readonly #modules = new Map<string, Module>();
  readonly #agents = new Map<string, Pick<Caller, "capabilities" | "approval">>();
  /** Refusals that were told of: an error may pass through several calls. */
  readonly #told = new WeakSet<CodedError>();
  readonly #signal: AbortSignal;
  readonly #answered: Counter;
  readonly #seconds: Histogram;
  #guard: Guard = async ({ caller, target }) => {
    throw new CodedError("CAPABILITY_DENIED", `${caller.id} may not use ${target}: nobody can approve it`, { caller: caller.id, target });
  };
  #observeDenied: (attempt: Attempt) => Promise<void> = async () => {};
  #inFlight = 0;

  constructor({ signal, metrics }: { signal: AbortSignal; metrics: Metrics }) {
    this.#signal = signal;
    this.#answered = metrics.counter("reprise_commands_total", "Commands answered, by command and outcome (ok, or the error's code).");
    this.#seconds = metrics.histogram("reprise_command_seconds", "Time from a command's arrival to its answer.");
    metrics.observed("reprise_commands_in_flight", "gauge", "Commands under way.", () => this.#inFlight);
  }

  /** Makes the names known, before the module answers: they are reserved from now on. */
  declare(module: Module): void {
    this.#modules.set(module.name, module);
  }

  /** Opens the module's commands. */
  add(owner: RunningModule): void {
    for (const [name, command] of Object.entries(owner.module.commands)) this.#routes.set(name, { command, owner });
  }

  names(): string[] {
    return [...this.#modules.values()].flatMap((module) => Object.keys(module.commands));
  }

  has(name: string): boolean {
    return this.#modules.get(domainOf(name))?.commands[name] !== undefined;
  }

  /** All declared commands, in the order of their names. */
  describe(): CommandDescription[] {
    return [...this.#modules.values()]
      .flatMap((module) => Object.entries(module.commands))
      .map(([name, { description, input }]) => ({
        name,
        description,
        input: z.toJSONSchema(input, { io: "input", unrepresentable: "any" }),
      }))
      .sort((left, right) => left.name.localeCompare(right.name));
  }

  isRead(name: string): boolean {
    return this.#modules.get(domainOf(name))?.commands[name]?.reads === true;
  }

  owns(domain: string): boolean {
    return this.#modules.has(domain);
  }

  declaresEvent(name: string): boolean {
    return this.#modules.get(domainOf(name))?.events[name] !== undefined;
  }

  setAgentCapabilities(agent: string, capabilities: readonly string[] | undefined, approval?: readonly string[]): void {
    if (capabilities === undefined) this.#agents.delete(agent);
    else this.#agents.set(agent, { capabilities, ...(approval && { approval }) });
  }

  guard(guard: Guard): void {
    this.#guard = guard;
  }

  onDenied(observe: (attempt: Attempt) => Promise<void>): void {
    this.#observeDenied = observe;
  }

  /** Asks the guard where a human has to approve. @throws CodedError what the guard refuses with */
  async assertApproved(attempt: Attempt): Promise<void> {
    const { caller, target } = attempt;
    if (caller.kind !== "agent" || caller.isApproved) return;
    const marked = [...(caller.approval ?? []), ...(this.#agents.get(caller.id)?.approval ?? [])];
    if (marked.length > 0 && covers(marked, target)) await this.#guard(attempt);
  }

  /** Who a message over NATS comes from: an agent when it says so, held to that agent's capabilities; else a client. */
  callerOf({ agent, source }: { agent?: string; source?: string }): Caller {
    if (agent === undefined) return source === undefined ? anonymous : { kind: "client", id: source };
    const known = this.#agents.get(agent);
    if (known === undefined) throw new CodedError("AGENT_UNKNOWN", `no running agent has the id ${agent}`, { agent });
    return { kind: "agent", id: agent, isClaimed: true, ...known };
  }

  /**
   * @param signal ends the call early, e.g. with its caller
   * @throws CodedError COMMAND_NOT_FOUND, REQUEST_INVALID, CAPABILITY_DENIED, REQUEST_TIMEOUT, or what the handler throws
   */
  async call(name: string, input: unknown, caller: Caller, meta: MessageMeta, signal?: AbortSignal): Promise<unknown> {
    const route = this.#routes.get(name);
    if (route === undefined) throw this.#noRoute(name);
    const start = performance.now();
    let outcome = "ok";
    this.#inFlight++;
    try {
      return await this.#answer(name, route, input, caller, meta, signal);
    } catch (error) {
      outcome = error instanceof CodedError ? error.code : "INTERNAL";
      if (error instanceof CodedError && error.code === "CAPABILITY_DENIED")
        await this.#tellDenied(error, { command: name, input, caller, meta });
      throw error;
    } finally {
      this.#answered.add({ command: name, outcome });
      this.#seconds.observe((performance.now() - start) / 1000);
      this.#inFlight--;
    }
  }

  /** Checks input and capability without calling. @throws CodedError REQUEST_INVALID, CAPABILITY_DENIED, COMMAND_NOT_FOUND */
  assertCallable(name: string, input: unknown, caller: Caller): void {
    const route = this.#routes.get(name);
    if (route === undefined) throw this.#noRoute(name);
    admit(name, route.command, input, caller);
  }

  async #answer(
    name: string,
    { command, owner }: Route,
    input: unknown,
    caller: Caller,
    meta: MessageMeta,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const { parsed, target } = admit(name, command, input, caller);
    if (target !== undefined) await this.assertApproved({ command: name, input, target, caller, meta });
    const call = new BoundedCall(owner, caller, meta, signal === undefined ? this.#signal : AbortSignal.any([signal, this.#signal]));
    const answer = command.handle(parsed, call);
    return answer instanceof Promise ? await call.withDeadline(name, command.deadline ?? defaultDeadline, answer) : answer;
  }

  /** The refusal stands, also when nobody can be told of it. */
  async #tellDenied(error: CodedError, attempt: Omit<Attempt, "target">): Promise<void> {
    if (attempt.caller.kind !== "agent" || this.#told.has(error)) return;
    this.#told.add(error);
    await this.#observeDenied({ ...attempt, target: String(error.details.target ?? attempt.command) }).catch(() => {});
  }

  #noRoute(name: string): CodedError {
    if (this.has(name)) return new CodedError("SHUTTING_DOWN", `${name} is not answered yet: the daemon is starting`, { command: name });
    return new CodedError("COMMAND_NOT_FOUND", `no module answers ${name}`, { command: name });
  }
}

const anonymous: Caller = { kind: "client", id: "client" };

/** @returns the parsed input, and what a restricted caller's capabilities had to cover */
function admit(name: string, command: Command, input: unknown, caller: Caller): { parsed: unknown; target: string | undefined } {
  const parsed = parseInput(command.input, input);
  if (!parsed.success) throw invalidInput(name, parsed.problems);
  if (caller.kind !== "agent" && caller.capabilities === undefined) return { parsed: parsed.data, target: undefined };
  const target = command.capability === undefined ? name : command.capability(parsed.data);
  if (target !== undefined && !covers(caller.capabilities, target)) {
    const message = `${caller.id} may not use ${target}: its profile, or the pattern that it plays, does not have it among its capabilities`;
    throw new CodedError("CAPABILITY_DENIED", message, { caller: caller.id, target });
  }
  return { parsed: parsed.data, target };
}

function invalidInput(name: string, problems: readonly Problem[]): CodedError {
  const issues = issuesOf(problems);
  return new CodedError("REQUEST_INVALID", `${name}: ${tellIssues(issues)}`, { issues });
}

/** The handler's view of one call. The signal is made when first asked for: most handlers never do. */
class BoundedCall implements Call<AsyncDisposable> {
  readonly caller: Caller;
  readonly meta: MessageMeta;
  readonly #owner: RunningModule;
  readonly #parent: AbortSignal;
  #abort: AbortController | undefined;

  constructor(owner: RunningModule, caller: Caller, meta: MessageMeta, parent: AbortSignal) {
    this.#owner = owner;
    this.caller = caller;
    this.meta = meta;
    this.#parent = parent;
  }

  get state(): AsyncDisposable {
    return this.#owner.state;
  }

  get context(): ModuleContext {
    return this.#owner.context;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return AbortSignal.any([this.#abort.signal, this.#parent]);
  }

  async withDeadline<Answer>(name: string, seconds: number, answer: Promise<Answer>): Promise<Answer> {
    const overdue = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const error = new CodedError("REQUEST_TIMEOUT", `${name} did not finish within ${seconds} s`, { seconds });
      this.#abort?.abort(error);
      overdue.reject(error);
    }, seconds * 1000);
    try {
      return await Promise.race([answer, overdue.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}
