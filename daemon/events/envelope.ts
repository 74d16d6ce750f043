/**
 * CloudEvents 1.0 in binary mode over NATS headers: the only place where `ce-*` headers are read or written.
 */
import { headers, type MsgHdrs } from "@nats-io/transport-node";
import type { EventRecord, MessageMeta } from "../module.ts";
import { newId, newTraceparent } from "./ids.ts";
import { idGrammar } from "./message-ids.ts";

/** An event before the log gave it a sequence. */
export type UnstoredEvent = Omit<EventRecord, "seq">;

/** An event without its payload. */
export type EventAttributes = Omit<EventRecord, "data">;

/** The headers under which an event is published. */
export function encodeEvent(event: UnstoredEvent): MsgHdrs {
  const head = headers();
  head.append("ce-specversion", "1.0");
  head.append("ce-id", event.id);
  head.append("ce-type", event.type);
  head.append("ce-source", event.source);
  head.append("ce-time", event.time);
  head.append("ce-correlationid", event.correlation);
  if (event.causation !== undefined) head.append("ce-causationid", event.causation);
  head.append("ce-hops", String(event.hops));
  if (event.run !== undefined) head.append("ce-run", event.run);
  if (event.agent !== undefined) head.append("ce-agent", event.agent);
  head.append("traceparent", event.traceparent ?? newTraceparent());
  return head;
}

/**
 * Reads an event back; `undefined` for a message that is not an event of ours: attributes missing, a payload that is not JSON,
 * or a copy. (A client can have the server copy a stored message to a subject that the client may not write to, by naming it
 * as the reply to a JetStream read; such a copy says which sequence it was read from.)
 * @param seq the message's own sequence, 0 for a live one
 */
export function decodeEvent(head: MsgHdrs | undefined, payload: Uint8Array, seq: number): EventRecord | undefined {
  const attributes = decodeAttributes(head, seq);
  if (attributes === undefined) return undefined;
  const data = parseJson(payload);
  return data === unreadable ? undefined : { ...attributes, data };
}

/** The same of what stands in the headers alone: to parse the payload takes longer than all the rest. */
export function decodeAttributes(head: MsgHdrs | undefined, seq: number): EventAttributes | undefined {
  const read = readHeaders(head);
  const { id, type } = read;
  if (id === undefined || type === undefined) return undefined;
  if (head?.values("Nats-Sequence").some((origin) => Number(origin) !== seq)) return undefined;
  return { correlation: id, hops: 0, time: "", source: "", ...read, id, type, seq };
}

/** What a request's headers say; the daemon fills in what is missing, and replaces an id that nobody outside may give. `hops` counts the message that the headers name. */
export function decodeRequest(head: MsgHdrs | undefined): MessageMeta & { source?: string } {
  if (head === undefined) {
    const id = newId();
    return { id, correlation: id, hops: 0 };
  }
  const { type: _type, time: _time, ...read } = readHeaders(head);
  const id = read.id !== undefined && idGrammar.test(read.id) ? read.id : newId();
  return { correlation: id, ...read, id, hops: read.hops === undefined ? 0 : read.hops + 1 };
}

const attributeOf: Readonly<Record<string, string>> = {
  "ce-id": "id",
  "ce-type": "type",
  "ce-source": "source",
  "ce-time": "time",
  "ce-correlationid": "correlation",
  "ce-causationid": "causation",
  "ce-run": "run",
  "ce-agent": "agent",
  "ce-hops": "hops",
  traceparent: "traceparent",
};

/** Characters; longer ones are no ids or times of anybody's. */
const longestAttribute = 1_024;

interface Attributes {
  id?: string;
  type?: string;
  source?: string;
  time?: string;
  correlation?: string;
  causation?: string;
  run?: string;
  agent?: string;
  traceparent?: string;
  hops?: number;
}

function readHeaders(head: MsgHdrs | undefined): Attributes {
  const read: Record<string, string | number> = {};
  for (const [key, [value = ""] = []] of head ?? []) {
    const attribute = attributeOf[key.toLowerCase()];
    if (attribute === undefined || value === "" || value.length > longestAttribute) continue;
    if (attribute === "hops") read.hops = /^\d{1,4}$/.test(value) ? Number(value) : 0;
    else read[attribute] = value;
  }
  return read;
}

/** Marks a payload that is no JSON; distinct from the JSON value null. */
export const unreadable = Symbol("unreadable");

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Decodes a JSON payload; an empty one is an empty object, so that commands without input need none. */
export function parseJson(payload: Uint8Array): unknown {
  if (payload.length === 0) return {};
  try {
    return JSON.parse(utf8.decode(payload));
  } catch {
    return unreadable;
  }
}

/** Is the JSON nested so deep that it cannot be written again? To read it takes no stack, to write it does. */
export function isTooDeep(payload: Uint8Array): boolean {
  try {
    JSON.stringify(parseJson(payload));
    return false;
  } catch (error) {
    return error instanceof RangeError;
  }
}

/** The metadata that a consequence of this event carries on. */
export function consequenceOf({ id, correlation, hops, run, agent, traceparent }: EventRecord): MessageMeta {
  return { id: newId(), correlation, causation: id, hops: hops + 1, run, agent, traceparent };
}
