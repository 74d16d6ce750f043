/**
 * The contract between the daemon and a module: what a module declares, and what it is given.
 *
 * A module is the default export of `modules/<name>.ts` or `modules/<name>/index.ts`. It owns one domain, its name: all its
 * commands and events are `<name>:…`. It imports from `daemon/` only what is pure (module.ts, errors.ts, names.ts,
 * events/message-ids.ts, parse-input.ts, suggestion.ts, capabilities.ts, yaml.ts, retry.ts, leases.ts, unless-aborted.ts), never from
 * another module; everything that touches NATS, git or the data folder reaches it through `ModuleContext`.
 */
import type { Logger } from "pino";
import type { z } from "zod";
import type { EmittedOwn, Events } from "./events/contract.ts";

/** Who asks, and what that one may do. Modules and operators may do everything their connection lets them. */
export interface Caller {
  readonly kind: "client" | "agent" | "module";
  readonly id: string;
  /** Name patterns (DESIGN §4, invariant 7); undefined = not restricted. */
  readonly capabilities?: readonly string[];
  /** Those of its capabilities that a human has to approve at each use. */
  readonly approval?: readonly string[];
  /** A module asks on its behalf for a part of what it was allowed to do: no human approves that again. */
  readonly isApproved?: true;
  /** An agent that a message from outside names itself as: it is held to that agent's capabilities, but anybody can send it. */
  readonly isClaimed?: true;
}

/** Something that an agent is about to do. */
export interface Attempt {
  readonly command: string;
  readonly input: unknown;
  /** What the capability has to cover: a command, `tool:NAME` or `emit:NAME`. */
  readonly target: string;
  readonly caller: Caller;
  readonly meta: MessageMeta;
}

/** @throws CodedError to refuse */
export type Guard = (attempt: Attempt) => Promise<void>;

/** Where a message stands among others. The CloudEvents attributes without those of the payload. */
export interface MessageMeta {
  readonly id: string;
  /** Id of the first message of the causal tree. */
  readonly correlation: string;
  /** Id of the message that caused this one. */
  readonly causation?: string;
  /** Length of the chain of events behind this message; 0 at its start. */
  readonly hops: number;
  readonly run?: string;
  readonly agent?: string;
  readonly traceparent?: string;
}

/** An event as the log stores it. */
export interface EventRecord<Data = unknown> {
  readonly id: string;
  readonly type: string;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly source: string;
  readonly data: Data;
  readonly correlation: string;
  readonly causation?: string;
  readonly hops: number;
  readonly run?: string;
  readonly agent?: string;
  readonly traceparent?: string;
  /** Position in the event log. */
  readonly seq: number;
}

/** What a handler knows beside its input. */
export interface Call<State> {
  /** What the module's `start` returned. */
  readonly state: State;
  readonly context: ModuleContext;
  readonly caller: Caller;
  readonly meta: MessageMeta;
  /** Aborted at the command's deadline and when the daemon stops. */
  readonly signal: AbortSignal;
}

export interface Command<State = unknown, Input extends z.ZodType = z.ZodType, Output extends z.ZodType = z.ZodType> {
  readonly description: string;
  readonly input: Input;
  readonly output: Output;
  /**
   * The capability that a caller needs; default: the command's name. `undefined` from it: the handler checks the target itself.
   */
  capability?(input: z.output<Input>): string | undefined;
  /** It changes nothing: it may be repeated freely. */
  readonly reads?: true;
  /** Seconds until the call is aborted and REQUEST_TIMEOUT answered; default 30. */
  readonly deadline?: number;
  handle(input: z.output<Input>, call: Call<State>): z.input<Output> | Promise<z.input<Output>>;
}

/** A command for those who want to call it. */
export interface CommandDescription {
  readonly name: string;
  readonly description: string;
  /** JSON Schema. */
  readonly input: Readonly<Record<string, unknown>>;
}

export interface EventDeclaration {
  readonly description: string;
  readonly schema: z.ZodType;
}

/** Delivery of one stored event: at least once; a throw is a failed delivery (retried, then a dead letter). */
export type EventHandler<State> = {
  // A method, so that a module with a state of its own is also a `Module`: each gets back the state that it made.
  handle(event: EventRecord, delivered: Delivered<State>): unknown;
}["handle"];

/** What a handler of events knows beside the event; `meta` is that of a consequence of it. */
export interface Delivered<State> {
  readonly state: State;
  readonly context: ModuleContext;
  readonly meta: MessageMeta;
}

export interface Module<State extends AsyncDisposable = AsyncDisposable> {
  /** The domain: `[a-z][a-z0-9_]*`, the same as the file's name. */
  readonly name: string;
  readonly description: string;
  readonly commands: Readonly<Record<string, Command<State>>>;
  readonly events: Readonly<Record<string, EventDeclaration>>;
  /** The key of `reprise.yaml` that is this module's, and what may stand there; absent there, `{}` is parsed. */
  readonly settings?: { readonly key: string; readonly schema: z.ZodType };
  /** Patterns of events → handler. Patterns of one module must not overlap. */
  readonly listens?: Readonly<Record<string, EventHandler<State>>>;
  /** Called once, within a deadline of 10 s; commands are answered after all modules have started. */
  start(context: ModuleContext): State | Promise<State>;
}

/** A typed `command({...})` for a module with this state. */
export function commandsOf<State extends AsyncDisposable>() {
  return <Input extends z.ZodType, Output extends z.ZodType>(declaration: Command<State, Input, Output>): Command<State> =>
    declaration as unknown as Command<State>;
}

/** Types a module's default export. */
export const defineModule = <State extends AsyncDisposable>(module: Module<State>): Module<State> => module;

/** A place in the event log: the log's identity and a sequence. */
export interface LogPosition {
  readonly log: string;
  readonly seq: number;
}

/** An in-order reader of the event log with a position of its own; unlike `listens` it acknowledges nothing. */
export interface Projection extends AsyncDisposable {
  /** Resolves once everything that the log held when the projection began was handled. */
  readonly caughtUp: Promise<void>;
  /** Resolves once the event of this type at `seq`, and all before it, were handled. */
  reached(seq: number, signal?: AbortSignal): Promise<void>;
  /** The place in the log of the newest event of its types, what this daemon is storing included; 0 when there is none. */
  lastSequence(signal: AbortSignal): Promise<number>;
  /** Resolves once everything that the log holds now was handled, whoever wrote it. */
  current(signal: AbortSignal): Promise<void>;
}

export interface ProjectionOptions {
  readonly types: readonly string[];
  /** Only events after this position; undefined, or another log's identity: from the start. */
  readonly after?: LogPosition;
  /** Events that may wait in memory; default 100. More where each takes part in one larger step. */
  readonly prefetch?: number;
  /** Gets events in log order, in batches as they are available; a throw is retried with backoff until it succeeds. */
  handle(events: readonly EventRecord[], position: LogPosition): Promise<void> | void;
}

/** Small durable state with compare-and-set: one KV bucket per module. Values are JSON. */
export interface StateStore {
  get<Value>(key: string): Promise<{ value: Value; revision: number } | undefined>;
  /** `revision` 0 = must not exist. Returns the new revision, or undefined when the given one is stale. */
  put(key: string, value: unknown, revision?: number): Promise<number | undefined>;
  /** @param revision a later one stays */
  delete(key: string, revision?: number): Promise<void>;
  entries<Value>(): Promise<Map<string, Value>>;
}

/** Large contents of a module, each named by the SHA-256 of its bytes: what an event or a journal only refers to. */
export interface ObjectStore {
  /** Durable when it resolves; the same bytes are kept once, and are young again. @returns their SHA-256 in hexadecimal */
  put(bytes: Uint8Array): Promise<string>;
  /** Undefined when there is none, or when its bytes are damaged. */
  get(sha256: string): Promise<Uint8Array | undefined>;
  /** What nobody has put since `before`, in milliseconds since 1970; also what an interrupted deletion left. */
  list(before: number): Promise<StoredObject[]>;
  /** @param listed it is deleted only if nobody has put it since it was listed. @returns whether it is gone by this */
  delete(sha256: string, listed?: StoredObject): Promise<boolean>;
  /** Deletes what puts before that time began to write, and never finished. @returns how many there were */
  tidy(before: number): Promise<number>;
}

export interface StoredObject {
  readonly sha256: string;
  readonly bytes: number;
  /** Changes each time that it is put. */
  readonly revision: number;
}

/** The journal of one run: an append-only list with a single writer at a time (stream RUNS, subject `run.<id>`). */
export interface RunJournal {
  /** All entries so far, in order. */
  read<Entry>(run: string): Promise<Entry[]>;
  /** Appends entry number `index` (0-based); fails if another writer appended it first. */
  append(run: string, index: number, entry: unknown): Promise<"appended" | "conflict">;
  /** All entries at once. Whoever would still append is refused. */
  delete(run: string): Promise<void>;
}

export interface CommitAuthor {
  readonly name: string;
  readonly email: string;
}

export interface CommitRequest {
  readonly message: string;
  readonly author?: CommitAuthor;
  /** Path → new content; null removes the file. */
  readonly files: Readonly<Record<string, string | null>>;
  /** Path → content id (blob) the change is based on; null = must not exist. A mismatch is COMPOSITION_STALE. */
  readonly expected?: Readonly<Record<string, string | null>>;
}

export interface RepositoryFile {
  readonly path: string;
  readonly content: string;
  /** Blob id of the content. */
  readonly blob: string;
}

export interface CommitInfo {
  readonly commit: string;
  readonly message: string;
  readonly author: CommitAuthor & { readonly time: string };
}

/** What a commit, or the way from one to another, did to a file. */
export interface FileState {
  readonly path: string;
  /** Blob id of the new content; null = removed. */
  readonly blob: string | null;
}

/** A commit and the files that it changed; a merge changed those that differ from each of its parents. */
export interface CommitChange {
  readonly info: CommitInfo;
  readonly parents: readonly string[];
  readonly files: readonly FileState[];
}

/** The one git repository of patterns, profiles, components and decisions. */
export interface Repository {
  /** Absolute path of the work tree. */
  readonly folder: string;
  /** Commit at the tip of the branch; undefined before the first commit. */
  head(): Promise<string | undefined>;
  read(path: string, commit?: string): Promise<RepositoryFile | undefined>;
  /** The content of a blob. @throws CodedError REPOSITORY_UNAVAILABLE if it is missing or damaged */
  readBlob(blob: string): Promise<string>;
  /** Paths of the files directly in `folder`. */
  list(folder: string, commit?: string): Promise<string[]>;
  /**
   * One commit, durable (fsynced) when the promise resolves. Writes queue behind each other.
   * @throws CodedError REPOSITORY_CONFLICT, REPOSITORY_UNAVAILABLE, COMPOSITION_STALE, NAME_INVALID
   */
  commit(request: CommitRequest): Promise<CommitInfo>;
  /** Newest first; with `path`, only commits that changed it. */
  log(options?: { path?: string; limit?: number }): AsyncIterable<CommitInfo>;
  /** Reads every object that the tip reaches. @returns how many, and what is missing or damaged */
  check(): Promise<{ read: number; problems: string[] }>;
  /** The files that differ between two commits; `from` undefined = all files of `to`. */
  compare(from: string | undefined, to: string): Promise<FileState[]>;
  /** The commits of a tip with what they changed, newest first; `since` = without that one and all before it. */
  changes(tip: string, since?: string): AsyncIterable<CommitChange>;
}

export type SqlValue = string | number | bigint | Uint8Array | null;

export interface SqlStatement {
  run(...values: SqlValue[]): unknown;
  get(...values: SqlValue[]): Record<string, unknown> | undefined;
  all(...values: SqlValue[]): Record<string, unknown>[];
}

/** A SQLite database with FTS5, as node:sqlite has it. */
export interface Database extends Disposable {
  exec(sql: string): void;
  prepare(sql: string): SqlStatement;
  /** Does all of it or nothing. */
  transaction<Result>(work: () => Result): Result;
}

/** Evaluates JSONata where it can be killed. */
export interface Expressions {
  /** @throws CodedError EXPRESSION_INVALID with details.position */
  check(expression: string): Promise<void>;
  /**
   * @param bindings variables (`$name`) beside the input
   * @returns the value, undefined when the expression yields nothing
   * @throws CodedError EXPRESSION_INVALID, EXPRESSION_FAILED, EXPRESSION_LIMIT
   */
  evaluate(expression: string, input: unknown, bindings?: Record<string, unknown>): Promise<unknown>;
}

/** One of our agents, as others see it. */
export interface HostedAgent {
  readonly id: string;
  readonly description: string;
  readonly state: string;
}

/** The answer to a prompt, part by part. */
export interface PromptStream {
  readonly signal: AbortSignal;
  say(text: string): void;
  /** Asks whoever prompted. */
  ask(question: string): Promise<string>;
}

/** What the network asks of the module that knows our agents. */
export interface AgentHost {
  list(): Iterable<HostedAgent>;
  find(id: string): HostedAgent | undefined;
  /** Resolves when all was said. @throws CodedError why there is no answer */
  answer(agent: HostedAgent, prompt: string, stream: PromptStream): Promise<void>;
}

/** An agent that is not ours. */
export interface ForeignAgent {
  readonly agent: string;
  readonly owner: string;
  readonly name: string;
  readonly description: string;
  /** Where it takes prompts. */
  readonly subject: string;
}

/** Agents that speak the Synadia Agent Protocol on this NATS: ours to others, and others to ours. */
export interface AgentNetwork {
  /** Makes our agents reachable until it is disposed of; a new agent may be announced at once. */
  serve(host: AgentHost): AsyncDisposable & { announce(agent: HostedAgent): void };
  /** The agents, not ours, that answer at present; takes up to two seconds. */
  discover(signal: AbortSignal): Promise<ForeignAgent[]>;
  /**
   * @param onQuery answers what the agent asks meanwhile
   * @returns all that the agent said
   * @throws CodedError AGENT_UNREACHABLE, AGENT_CANNOT_ANSWER, NAME_INVALID; the signal's reason
   */
  prompt(subject: string, prompt: string, options: { signal: AbortSignal; onQuery(question: string): Promise<string> }): Promise<string>;
}

/** Everything a module may use of the daemon. */
export interface ModuleContext {
  readonly log: Logger;
  /** Aborted when the daemon stops. */
  readonly signal: AbortSignal;
  /** The module's part of `reprise.yaml`, as its schema gives it; undefined if it declares none. */
  readonly settings: unknown;
  readonly expressions: Expressions;
  readonly events: Events;
  readonly state: StateStore;
  readonly objects: ObjectStore;
  readonly journal: RunJournal;
  readonly repository: Repository;
  /**
   * Emits one of the module's own declared events, durable when it resolves.
   * @param cause what it is a consequence of, as the handler got it: gives causation, correlation, hops, run and agent
   * @returns duplicate: an event with this `id` was stored before
   */
  emit(name: string, data: unknown, cause?: Partial<MessageMeta>, options?: { id?: string }): Promise<EmittedOwn>;
  /** Calls a command of any module; as this module, or on behalf of `caller` with its capabilities. */
  call<Result = unknown>(
    command: string,
    input: unknown,
    options?: { caller?: Caller; cause?: Partial<MessageMeta>; signal?: AbortSignal },
  ): Promise<Result>;
  /** Does a module answer this name? If not, it is that of a plain event. */
  isCommand(name: string): boolean;
  /** All commands of all modules, with the JSON Schema of what each takes. */
  describeCommands(): CommandDescription[];
  /** Is it a command that is declared to change nothing? */
  isRead(name: string): boolean;
  /**
   * Tells the router what an agent may do, so that messages in its name are held to it; undefined = it has ended.
   * @param approval what of it a human has to approve at each use
   */
  setAgentCapabilities(agent: string, capabilities: readonly string[] | undefined, approval?: readonly string[]): void;
  readonly agentNetwork: AgentNetwork;
  /** Has the guard asked before each use of what a human has to approve. One module does. */
  guard(guard: Guard): void;
  /** Has the observer told of each attempt of an agent that its capabilities do not cover. One module does. */
  onDenied(observe: (attempt: Attempt) => Promise<void>): void;
  project(options: ProjectionOptions): Promise<Projection>;
  /** The present end of the event log. */
  position(): Promise<LogPosition>;
  /**
   * Opens the module's database in the data folder; the module closes it. It is for what can be made again: after a power
   * failure the last transactions may be missing, and a damaged file is replaced by an empty one.
   */
  openDatabase(): Database;
  /** Does the path lead into the data folder or the repository's `.git`? Such files are not to be opened. */
  isOwnFile(path: string): Promise<boolean>;
  /**
   * Like `listens`, with patterns that are known at run time only; each call replaces the earlier one, no patterns end it.
   * Not for a module that declares `listens`.
   */
  listen(patterns: readonly string[], handle: (event: EventRecord, consequence: MessageMeta) => unknown): Promise<void>;
  /** A new id, ordered by time (ULID). */
  newId(): string;
}
