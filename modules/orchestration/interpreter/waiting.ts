/** The statements that wait for others: events, agents, answers, people. */
import type { Statement } from "../language/ast.ts";
import type { Arrival, Sent, Wait } from "./effects.ts";
import { listOf, object, objectOf, seconds, text, unfit } from "./fit.ts";
import { agentsOf, groupIn } from "./groups.ts";
import type { Family, Place } from "./place.ts";

type Await = Extract<Statement, { kind: "await" }>;

export const waiting: Family<"await" | "send" | "ask"> = {
  async await(statement, at) {
    const { what, within, ...options } = await optionsOf(statement, at);
    const wait = waitFor(what, options, statement, at);
    const found = listOf(await at.step({ ...wait, ...deadline(within) }));
    const values = wait.for.of === "events" ? found.map((arrival) => taken(arrival as Arrival, statement, at)) : found;
    at.keep(statement.as, options.isList ? values : values[0]);
    return undefined;
  },
  async send({ fields, reply, as }, at) {
    const { to, message } = await objectOf(fields, at);
    const agents = await agentsOf(to, at, true);
    const sent = (await at.step({ kind: "send", to: agents, message, expects_reply: reply !== undefined })) as Sent[];
    if (reply === undefined) return undefined;
    const within = seconds(await at.optional(reply.within), "WITHIN", at.line);
    const wait = { kind: "await", for: { of: "replies", to: sent }, min: sent.length, max: sent.length, partial: false } as const;
    const replies = listOf(await at.step({ ...wait, ...deadline(within) }));
    at.keep(as, Array.isArray(to) || groupIn(to) !== undefined ? replies : replies[0]);
    return undefined;
  },
  async ask({ question, options, within, as }, at) {
    const asked = text(await at.value(question), "a question", at.line);
    const choices = options && listOf(await at.value(options));
    const limit = seconds(await at.optional(within), "WITHIN", at.line);
    const request = {
      kind: "ask",
      question: asked,
      ...(choices && { options: choices }),
      ...(limit !== undefined && { within: limit }),
    } as const;
    const { id } = (await at.step(request)) as { id: string };
    const { answer } = (await at.step({ kind: "await", for: { of: "decision", id }, min: 1, max: 1, partial: false })) as {
      answer: unknown;
    };
    at.keep(as, answer);
    return undefined;
  },
};

interface Options {
  readonly min: number;
  readonly max: number;
  readonly partial: boolean;
  readonly from?: readonly string[];
  /** Is the result a list, or the one that came? */
  readonly isList: boolean;
}

/** `what` is an event's name; undefined = the end of the agents in `from`. */
async function optionsOf(statement: Await, at: Place): Promise<Options & { what?: string; within?: number }> {
  const { line } = at;
  const value = await at.value(statement.what);
  const written = seconds(await at.optional(statement.within), "WITHIN", line);
  if (typeof value === "string" && value.includes(":"))
    return { what: value, min: 1, max: 1, partial: false, isList: false, ...(written !== undefined && { within: written }) };
  const isPlain =
    typeof value === "string" ||
    Array.isArray(value) ||
    (value as { agent_id?: unknown } | undefined)?.agent_id !== undefined ||
    groupIn(value) !== undefined;
  const given = isPlain ? { from: value } : object(value, "an event or an agent", line);
  const event = given.event === undefined ? undefined : text(given.event, "the name of an event", line);
  const from = given.from === undefined && event !== undefined ? undefined : await agentsOf(given.from, at);
  const within = seconds(given.within, "within", line) ?? written;
  const min = count(given.min, "min", line) ?? from?.length ?? 1;
  const most = within !== undefined && from !== undefined ? from.length : min;
  const max = Math.max(count(given.max, "max", line) ?? most, min);
  return {
    ...(event !== undefined && { what: event }),
    ...(from && { from }),
    ...(within !== undefined && { within }),
    min,
    max,
    partial: given.partial === true,
    isList: Array.isArray(given.from) || groupIn(given.from) !== undefined || given.min !== undefined || given.max !== undefined,
  };
}

function waitFor(event: string | undefined, { min, max, partial, from }: Options, statement: Await, at: Place): Omit<Wait, "until"> {
  const amount = { kind: "await", min, max, partial } as const;
  if (event === undefined) return { ...amount, for: { of: "agents", agents: from ?? [] } };
  const where = statement.where && { jsonata: `$event.data.(${statement.where.jsonata})`, state: seen(statement.where, at) };
  const except = [...at.received(statement)];
  return { ...amount, for: { of: "events", event, except, ...(from && { from }), ...(where && { where }) } };
}

/** What a condition may read of the run's variables: only `$$` leads out of the event. */
const seen = ({ reads }: { reads?: readonly string[] }, { strand }: Place) => (reads === undefined ? strand.scope.state : {});

function taken({ seq, data }: Arrival, statement: Await, at: Place): unknown {
  at.received(statement).add(seq);
  return data;
}

function count(value: unknown, what: string, line: number): number | undefined {
  if (value === undefined || (Number.isInteger(value) && (value as number) >= 0)) return value as number | undefined;
  throw unfit(`Line ${line} needs a whole number for ${what}.`, line);
}

const deadline = (within: number | undefined) =>
  within === undefined ? {} : { until: new Date(Date.now() + within * 1000).toISOString() };
