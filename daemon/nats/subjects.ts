/**
 * Every subject, stream, bucket and consumer name is built and parsed here, and nowhere else. Pure.
 *
 * With a prefix `acme`, subjects start with `acme.` and streams with `ACME_`, so that several installations share a server.
 */
import { CodedError } from "../errors.ts";

export interface Subjects {
  /** "" or `acme.` */
  readonly prefix: string;
  readonly streams: { readonly events: string; readonly runs: string; readonly schedules: string; readonly dead: string };
  /** A stream for measuring a server, deleted after it. */
  readonly probeStream: string;
  /** Subjects captured by each stream. */
  readonly captured: { readonly events: string; readonly runs: string; readonly schedules: string; readonly dead: string };
  command(name: string): string;
  /** Subject of an event or of a pattern over events: `a:*` → `event.a.*`. */
  event(nameOrPattern: string): string;
  run(id: string): string;
  /** Where a schedule waits, and where the server puts it when it is due. */
  schedulePending(id: string): string;
  scheduleDue(id: string): string;
  dead(module: string): string;
  /** Name of a key-value bucket. */
  bucket(module: string): string;
  /** The bucket with the installation's secret, which clients may not read. */
  readonly secretBucket: string;
  /** Where our agents answer others, by the Synadia Agent Protocol, and where those answer. */
  readonly agents: AgentSubjects;
  /** May a reply to a request go there? A reply is sent with the daemon's rights, so not into its own streams. */
  isReplySubject(subject: string): boolean;
}

/** `agents.VERB.AGENT.OWNER.NAME`; ours are `reprise`, owned by the prefix or `local`, and named by their ids. */
export interface AgentSubjects {
  readonly owner: string;
  /** All of ours at once. */
  readonly prompts: string;
  readonly statuses: string;
  readonly heartbeats: string;
  prompt(id: string): string;
  status(id: string): string;
  heartbeat(id: string): string;
  /** Id of the agent that a subject is about. */
  idIn(subject: string): string;
  /** Where services are asked what they are: of all, of agents, of one agent. */
  control(verb: "PING" | "INFO" | "STATS"): readonly string[];
  /** May a prompt to an agent that is not ours go there? */
  isForeignPrompt(subject: string): boolean;
}

/** How our agents call themselves. */
export const agentKind = "reprise";

/** The daemon's own inboxes; its clients may not listen there. */
export const ownInbox = "_INBOX_reprise";

const streamHeads = ["event.", "run.", "schedule.", "dead."];
const foreignPrompt = /^agents\.prompt(?:\.[^.*>$\s][^.*>\s]*){3}$/;
const prefixGrammar = /^[a-z][a-z0-9_-]{0,31}$/;

/** Where NATS keeps the objects of a bucket, and the parts of one of them. */
export const objectStream = (bucket: string): string => `OBJ_${bucket}`;
export const objectParts = (bucket: string, object = "*"): string => `$O.${bucket}.C.${object}`;
/** What NATS keeps about an object, by its name; about all of them without. */
export const objectInfo = (bucket: string, name?: string): string =>
  `$O.${bucket}.M.${name === undefined ? "*" : Buffer.from(name).toString("base64").replaceAll("+", "-").replaceAll("/", "_")}`;

/** @throws CodedError NAME_INVALID for an unusable prefix */
export function subjectsFor(prefix = ""): Subjects {
  if (prefix !== "" && !prefixGrammar.test(prefix)) {
    throw new CodedError("NAME_INVALID", `"${prefix}" is not a prefix: expected lower case letters, digits, _ and -`, { prefix });
  }
  const dotted = prefix === "" ? "" : `${prefix}.`;
  const stream = (name: string) => (prefix === "" ? name : `${prefix.toUpperCase()}_${name}`);
  const bucket = (name: string) => (prefix === "" ? name : `${prefix}_${name}`);

  return {
    prefix: dotted,
    streams: { events: stream("EVENTS"), runs: stream("RUNS"), schedules: stream("SCHEDULES"), dead: stream("DEAD") },
    probeStream: stream("PROBE"),
    captured: { events: `${dotted}event.>`, runs: `${dotted}run.>`, schedules: `${dotted}schedule.>`, dead: `${dotted}dead.>` },
    command: (name) => `${dotted}${name}`,
    event: (nameOrPattern) => `${dotted}event.${nameOrPattern === "*" ? "*.*" : nameOrPattern.replace(":", ".")}`,
    run: (id) => `${dotted}run.${id}`,
    schedulePending: (id) => `${dotted}schedule.pending.${id}`,
    scheduleDue: (id) => `${dotted}schedule.due.${id}`,
    dead: (module) => `${dotted}dead.${module}`,
    bucket,
    secretBucket: bucket("reprise_secret"),
    agents: agentSubjects(prefix === "" ? "local" : prefix),
    isReplySubject: (subject) => !subject.startsWith("$") && !streamHeads.some((head) => subject.startsWith(`${dotted}${head}`)),
  };
}

function agentSubjects(owner: string): AgentSubjects {
  const subject = (verb: string, id: string) => `agents.${verb}.${agentKind}.${owner}.${id}`;
  return {
    owner,
    prompts: subject("prompt", "*"),
    statuses: subject("status", "*"),
    heartbeats: subject("hb", "*"),
    prompt: (id) => subject("prompt", id),
    status: (id) => subject("status", id),
    heartbeat: (id) => subject("hb", id),
    idIn: (text) => text.slice(text.lastIndexOf(".") + 1),
    control: (verb) => [`$SRV.${verb}`, `$SRV.${verb}.agents`, `$SRV.${verb}.agents.*`],
    isForeignPrompt: (text) => foreignPrompt.test(text) && !text.startsWith(subject("prompt", "")),
  };
}
