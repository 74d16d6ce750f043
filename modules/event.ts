/** The wire of the event bus: `event:emit`, the universal primitive, and the reads of the event log. */
import { z } from "zod";
import { CodedError } from "../daemon/errors.ts";
import { commandsOf, defineModule } from "../daemon/module.ts";
import { isPattern } from "../daemon/names.ts";

const emission = z.strictObject({
  event: z.string().describe("name of a plain event to store, or of a command to call"),
  data: z.unknown().optional().describe("payload: any JSON"),
  id: z.string().optional().describe("makes it idempotent: the same id is stored once"),
  delay: z.number().min(0).optional().describe("seconds until it is emitted; survives crashes"),
  at: z.string().optional().describe("RFC 3339 time at which it is emitted; survives crashes"),
  condition: z.string().optional().describe("JSONata over {event, data, now}: emitted only if true"),
});

const emitted = z.object({
  status: z.enum(["emitted", "scheduled", "skipped", "handled", "duplicate"]),
  id: z.string(),
  seq: z.number().optional(),
  at: z.string().optional(),
  reason: z.string().optional(),
  result: z.unknown().optional(),
});

const eventRecord = z.object({
  id: z.string(),
  type: z.string(),
  time: z.string(),
  source: z.string(),
  data: z.unknown(),
  correlation: z.string(),
  causation: z.string().optional(),
  hops: z.number(),
  run: z.string().optional(),
  agent: z.string().optional(),
  traceparent: z.string().optional(),
  seq: z.number(),
});

const time = z.iso.datetime({ offset: true });
const pattern = z.string().refine(isPattern, "expected a name or a pattern such as monitoring:*");
const limit = z.number().int().min(1).max(1_000);
const cursor = z.string().regex(/^\d{1,15}$/, "expected a cursor of an earlier reply");

interface NoState extends AsyncDisposable {}
const command = commandsOf<NoState>();

export default defineModule<NoState>({
  name: "event",
  description: "Emits, schedules, queries and traces events.",
  events: {},
  commands: {
    "event:emit": command({
      description: "Emits an event, now or later, or calls the command of that name. {events: […]} stores up to 1000 events as one unit.",
      input: emission.partial({ event: true }).extend({ events: z.array(emission).min(1).max(1_000).optional() }),
      output: z.union([emitted, z.object({ results: z.array(emitted) })]),
      capability: () => undefined, // checked on the target
      async handle({ events, event, ...rest }, call) {
        const { context } = call;
        if (event !== undefined && events === undefined) return context.events.emit({ event, ...rest }, call);
        if (events === undefined || Object.keys(rest).length > 0 || event !== undefined) {
          throw new CodedError("REQUEST_INVALID", "event:emit: expected either event, with its data, or events alone");
        }
        return { results: await context.events.emitBatch(events, call) };
      },
    }),
    "event:query": command({
      description: "Reads stored events, oldest first, filtered by name, run, correlation and time; paged.",
      reads: true,
      input: z.strictObject({
        types: z.array(pattern).min(1).max(50).optional(),
        run: z.string().optional(),
        correlation: z.string().optional(),
        since: time.optional(),
        until: time.optional(),
        limit: limit.optional(),
        cursor: cursor.optional(),
      }),
      output: z.object({ events: z.array(eventRecord), cursor: z.string().optional() }),
      handle: (query, { context }) => context.events.query(query),
    }),
    "event:trace": command({
      description: "Shows the causal tree of an event: from its oldest known ancestor to everything that followed.",
      reads: true,
      input: z.strictObject({ id: z.string() }),
      output: z.object({ root: z.unknown(), truncated: z.boolean() }),
      handle: ({ id }, { context }) => context.events.trace(id),
    }),
    "event:cancel": command({
      description: "Cancels a delayed event that has not been emitted yet.",
      input: z.strictObject({ id: z.string() }),
      output: z.object({ id: z.string(), status: z.literal("cancelled") }),
      async handle({ id }, { context }) {
        await context.events.cancel(id);
        return { id, status: "cancelled" as const };
      },
    }),
    "event:dead": command({
      description: "Lists events that a listener could not handle, with the reason.",
      reads: true,
      input: z.strictObject({
        listener: z
          .string()
          .regex(/^[a-z0-9_]+$/)
          .optional(),
        limit: limit.optional(),
        cursor: cursor.optional(),
      }),
      output: z.object({
        letters: z.array(z.object({ id: z.string(), listener: z.string(), reason: z.string() })),
        cursor: z.string().optional(),
      }),
      handle: ({ limit = 100, ...rest }, { context }) => context.events.dead({ limit, ...rest }),
    }),
    "event:redrive": command({
      description: "Hands dead letters to their listener again: one by id, or all (of a listener). What fails again stays.",
      input: z.strictObject({
        id: z.string().optional(),
        listener: z
          .string()
          .regex(/^[a-z0-9_]+$/)
          .optional(),
        all: z.literal(true).optional(),
      }),
      output: z.object({ results: z.array(z.object({ id: z.string(), redriven: z.boolean(), reason: z.string().optional() })) }),
      deadline: 120,
      async handle({ id, listener, all }, { context, signal }) {
        if (id !== undefined) return { results: [await context.events.redrive(id)] };
        if (listener === undefined && all === undefined) throw new CodedError("REQUEST_INVALID", "give an id, a listener, or all: true");
        const results = [];
        for (let from: string | undefined; ; ) {
          const page = await context.events.dead({
            limit: 100,
            ...(listener !== undefined && { listener }),
            ...(from !== undefined && { cursor: from }),
          });
          for (const letter of page.letters) {
            signal.throwIfAborted();
            results.push(await context.events.redrive(letter.id));
          }
          from = page.cursor;
          if (from === undefined) return { results };
        }
      },
    }),
  },
  start: () => ({ [Symbol.asyncDispose]: async () => {} }),
});
