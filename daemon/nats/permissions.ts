/**
 * Who may publish and subscribe where: the permissions of the embedded server's users, and the template for a server of the
 * user's own. Pure.
 *
 * They bind what a connection publishes, not the reply subject of its requests: a reply, the daemon's or JetStream's own, goes
 * where the asker said, also into a stream. So a stored message is to be trusted by its headers, not by its subject.
 *
 * NATS knows no exception to a denial, and tools live on subjects that only their users know; so a client may publish anywhere
 * but to the subjects listed here. What is listed: the daemon's own streams and buckets, and every JetStream request that changes something.
 */
import type { Module } from "../module.ts";
import { ownInbox, type Subjects } from "./subjects.ts";

/** What the permissions need to know of the modules: each listens through a consumer of its name, and answers its commands. */
export type Served = Pick<Module, "name" | "commands">;

interface Rule {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

export interface Permissions {
  readonly publish: Rule;
  readonly subscribe: Rule;
}

const everything: Rule = { allow: [">"], deny: [] };

export const daemonPermissions: Permissions = { publish: everything, subscribe: everything };

const changingRequests = [
  "$JS.API.ACCOUNT.>",
  "$JS.API.META.>",
  "$JS.API.SERVER.>",
  "$JS.API.STREAM.CREATE.>",
  "$JS.API.STREAM.UPDATE.>",
  "$JS.API.STREAM.DELETE.>",
  "$JS.API.STREAM.PURGE.>",
  "$JS.API.STREAM.MSG.DELETE.>",
  "$JS.API.STREAM.SNAPSHOT.>",
  "$JS.API.STREAM.RESTORE.>",
  "$JS.API.STREAM.TEMPLATE.>",
  "$JS.API.STREAM.LEADER.>",
  "$JS.API.STREAM.PEER.>",
  "$JS.API.CONSUMER.LEADER.>",
  // The same requests under the name of a JetStream domain.
  "$JS.*.API.>",
];

/** A client calls every command, reads all events and uses subjects of its own, but writes events through `event:emit` alone. */
export function clientPermissions(subjects: Subjects, modules: readonly Served[]): Permissions {
  const { streams, captured, agents } = subjects;
  const secretStream = `KV_${subjects.secretBucket}`;
  return {
    publish: {
      allow: [">"],
      deny: [
        ...Object.values(captured),
        // Nobody else is alive in the name of our agents, or answers for them.
        agents.heartbeats,
        "$KV.>",
        "$O.>",
        ...changingRequests,
        // The old form of the request names the consumer in its body, where no permission can see it.
        "$JS.API.CONSUMER.CREATE.*",
        ...[streams.runs, streams.schedules, streams.dead, secretStream].flatMap((stream) => requestsOn(`${stream}.>`)),
        `$JS.API.STREAM.MSG.GET.${secretStream}`,
        `$JS.API.DIRECT.GET.${secretStream}`,
        `$JS.API.DIRECT.GET.${secretStream}.>`,
        ...modules.flatMap(({ name }) => {
          const consumer = `${streams.events}.${name}`;
          // A request to create may end in the consumer's filter; an acknowledgement may begin with a domain and an account.
          return [...requestsOn(consumer), `$JS.API.CONSUMER.*.${consumer}.>`, `$JS.ACK.${consumer}.>`, `$JS.ACK.*.*.${consumer}.>`];
        }),
      ],
    },
    subscribe: {
      allow: [">"],
      deny: [
        // Commands are answered, and the daemon's replies and state seen, by the daemon alone.
        ...modules.flatMap(({ commands }) => Object.keys(commands).map((name) => subjects.command(name))),
        agents.prompts,
        agents.statuses,
        `${ownInbox}.>`,
        "$KV.>",
      ],
    },
  };
}

/** All requests on a consumer, such as `CREATE` and `MSG.NEXT`. @param consumer `stream.consumer` */
const requestsOn = (consumer: string): string[] => [`$JS.API.CONSUMER.*.${consumer}`, `$JS.API.CONSUMER.*.*.${consumer}`];

/** The snippet for the configuration of a server that the user runs: `docs/nats-permissions.conf`. */
export function renderTemplate(subjects: Subjects, modules: readonly Served[]): string {
  return `# Users for a NATS server of your own, to be included in its configuration: the daemon, and clients that cannot forge events.
# Generated from daemon/nats/permissions.ts. The passwords come from the server's environment.

jetstream {
  # An event is acknowledged when it is on the disk, not before.
  sync_interval: always
}

authorization {
  users: [
    ${renderUser("reprise", "$REPRISE_NATS_PASSWORD", daemonPermissions)}
    ${renderUser("client", "$REPRISE_NATS_CLIENT_PASSWORD", clientPermissions(subjects, modules))}
  ]
}
`;
}

function renderUser(user: string, password: string, { publish, subscribe }: Permissions): string {
  return `{
      user: ${user}
      password: ${password}
      permissions: {
        publish: ${renderRule(publish)}
        subscribe: ${renderRule(subscribe)}
      }
    }`;
}

function renderRule({ allow, deny }: Rule): string {
  const list = (subjects: readonly string[]) =>
    `[${subjects.map((subject) => `\n            ${JSON.stringify(subject)}`).join("")}\n          ]`;
  return `{
          allow: ${list(allow)}${deny.length > 0 ? `\n          deny: ${list(deny)}` : ""}
        }`;
}
