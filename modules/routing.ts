/**
 * Rules at run time: "when event E and condition C, emit T with mapping M".
 *
 * Rules are durable, and applied to stored events at least once. What a rule emits has an id made of the rule's and the
 * event's, so that a repeated delivery emits nothing twice. A rule acts for whoever added it, within that one's capabilities.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { CodedError } from "../daemon/errors.ts";
import { derivedId } from "../daemon/events/message-ids.ts";
import { type Caller, commandsOf, defineModule, type EventRecord, type MessageMeta, type ModuleContext } from "../daemon/module.ts";
import { isName, isPattern, matches, withoutOverlap } from "../daemon/names.ts";

const ruleInput = z.strictObject({
  id: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, "expected 1 to 64 letters, digits, _ and -")
    .optional(),
  event: z.string().refine(isPattern, "expected an event's name or a pattern such as monitoring:*"),
  condition: z.string().optional().describe("JSONata over {event, data, now}"),
  emit: z.string().refine(isName, "expected the name of an event or command"),
  mapping: z.string().optional().describe("JSONata over {event, data, now} that yields the new data; default: the same data"),
  priority: z.number().int().min(-1_000).max(1_000).default(0).describe("higher first"),
  ttl: z
    .number()
    .positive()
    .max(365 * 24 * 3600)
    .optional()
    .describe("seconds until the rule ends"),
});

const rule = ruleInput.omit({ ttl: true }).required({ id: true }).extend({ created_at: z.string(), expires_at: z.string().optional() });

interface Rule extends z.output<typeof rule> {
  readonly caller: Caller;
}

class Rules implements AsyncDisposable {
  readonly #context: ModuleContext;
  readonly #rules: Map<string, Rule>;
  #changes: Promise<void> = Promise.resolve();

  private constructor(context: ModuleContext, rules: Map<string, Rule>) {
    this.#context = context;
    this.#rules = rules;
  }

  static async open(context: ModuleContext): Promise<Rules> {
    const rules = new Rules(context, await context.state.entries<Rule>());
    await rules.#listen();
    return rules;
  }

  list(): Rule[] {
    return [...this.#rules.values()].filter(isLive).sort(byPriority);
  }

  put(added: Rule): Promise<void> {
    return this.#change(async () => {
      await this.#context.state.put(added.id, added);
      this.#rules.set(added.id, added);
      await this.#forgetExpired();
    });
  }

  /** @throws CodedError ROUTE_NOT_FOUND */
  remove(id: string): Promise<void> {
    return this.#change(async () => {
      if (!this.#rules.has(id)) throw new CodedError("ROUTE_NOT_FOUND", `no rule has the id ${id}`, { id });
      await this.#context.state.delete(id);
      this.#rules.delete(id);
    });
  }

  /** Changes come one after another, so that what is listened to in the end is what the last one left. */
  #change(change: () => Promise<void>): Promise<void> {
    const changed = this.#changes.then(change).then(() => this.#listen());
    this.#changes = changed.catch(() => {});
    return changed;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Every rule is tried, also when one fails; then the delivery fails, and what was emitted is recognised next time. */
  async #apply(event: EventRecord, consequence: MessageMeta): Promise<void> {
    const failures: unknown[] = [];
    for (const candidate of this.list()) {
      if (matches(candidate.event, event.type)) await this.#applyOne(candidate, event, consequence).catch((error) => failures.push(error));
    }
    const worthRepeating = failures.find((error) => !(error instanceof CodedError) || error.retryable);
    if (failures.length > 0) throw worthRepeating ?? failures[0];
  }

  async #applyOne({ id: rule, condition, mapping, emit, caller }: Rule, event: EventRecord, consequence: MessageMeta): Promise<void> {
    const scope = { event, data: event.data, now: new Date().toISOString() };
    if (condition !== undefined && !(await this.#holds(condition, scope))) return;
    const data = mapping === undefined ? event.data : await this.#context.expressions.evaluate(mapping, scope);
    const id = consequenceId(rule, event.id);
    await this.#context.call("event:emit", { event: emit, data: data ?? null, id }, { caller, cause: { ...consequence, id } });
  }

  async #holds(condition: string, scope: object): Promise<boolean> {
    const met = (await this.#context.expressions.evaluate(condition, scope)) ?? false;
    if (typeof met === "boolean") return met;
    throw new CodedError("EXPRESSION_FAILED", `the condition yields ${typeof met}, not true or false`, { condition });
  }

  async #forgetExpired(): Promise<void> {
    for (const expired of [...this.#rules.values()].filter((candidate) => !isLive(candidate))) {
      await this.#context.state.delete(expired.id);
      this.#rules.delete(expired.id);
    }
  }

  async #listen(): Promise<void> {
    const patterns = withoutOverlap([...new Set(this.list().map((live) => live.event))]);
    await this.#context.listen(patterns, (event, consequence) => this.#apply(event, consequence));
  }
}

/** The same for the same rule and event, so that a repeated delivery emits nothing twice; of bounded length, however long the chain. */
const consequenceId = (ruleId: string, eventId: string): string =>
  derivedId(createHash("sha256").update(`${ruleId}\n${eventId}`).digest("base64url").slice(0, 32), "routed");

const isLive = ({ expires_at }: Rule): boolean => expires_at === undefined || Date.parse(expires_at) > Date.now();
const byPriority = (left: Rule, right: Rule): number => right.priority - left.priority || left.created_at.localeCompare(right.created_at);

const command = commandsOf<Rules>();

export default defineModule<Rules>({
  name: "routing",
  description: "Rules at run time that turn events into other events or commands.",
  events: {
    "routing:added": { description: "A rule was added or replaced.", schema: rule },
    "routing:removed": { description: "A rule was removed.", schema: z.object({ id: z.string() }) },
  },
  commands: {
    "routing:add": command({
      description: "Adds a rule, or replaces the one with this id.",
      input: ruleInput,
      output: rule,
      async handle({ ttl, id, ...wanted }, { state, context, caller, meta }) {
        for (const expression of [wanted.condition, wanted.mapping])
          if (expression !== undefined) await context.expressions.check(expression);
        const now = Date.now();
        const added = {
          id: id ?? context.newId(),
          ...wanted,
          created_at: new Date(now).toISOString(),
          ...(ttl !== undefined && { expires_at: new Date(now + ttl * 1000).toISOString() }),
        };
        await state.put({ ...added, caller });
        await context.emit("routing:added", added, meta);
        return added;
      },
    }),
    "routing:list": command({
      description: "Lists the rules in force, highest priority first.",
      reads: true,
      input: z.strictObject({}),
      output: z.object({ rules: z.array(rule) }),
      handle: (_, { state }) => ({ rules: state.list().map(({ caller, ...listed }) => listed) }),
    }),
    "routing:remove": command({
      description: "Removes a rule.",
      input: z.strictObject({ id: z.string() }),
      output: z.object({ id: z.string(), status: z.literal("removed") }),
      async handle({ id }, { state, context, meta }) {
        await state.remove(id);
        await context.emit("routing:removed", { id }, meta);
        return { id, status: "removed" as const };
      },
    }),
  },
  start: (context) => Rules.open(context),
});
