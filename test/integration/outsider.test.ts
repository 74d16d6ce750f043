import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { AckPolicy, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect, headers, type NatsConnection, PermissionViolationError } from "@nats-io/transport-node";
import { type Asker, askerOn } from "../harness/ask.ts";
import { startTestDaemon } from "../harness/daemon.ts";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { startTemplateServer } from "../harness/template-server.ts";

/** A daemon on some server, somebody without rights, and somebody who may look at everything. */
interface Scene extends AsyncDisposable {
  readonly outsider: NatsConnection;
  readonly admin: NatsConnection;
}

const scenes: Record<string, () => Promise<Scene>> = {
  "an anonymous client of the embedded server": async () => {
    const daemon = await startTestDaemon();
    const pass = await readFile(join(daemon.config.data, "nats", "password"), "utf8");
    return scene(daemon, { servers: daemon.daemon.natsUrl }, { servers: daemon.daemon.natsUrl, user: "reprise", pass });
  },
  "a client under the shipped template": async () => {
    const resources = new AsyncDisposableStack();
    const server = resources.use(await startTemplateServer());
    resources.use(await startDaemonProcess({ args: ["--nats-url", server.daemonUrl] }));
    return scene(resources, optionsOf(server.clientUrl), optionsOf(server.daemonUrl));
  },
};

for (const [who, open] of Object.entries(scenes)) {
  describe(who, () => {
    let stage: Scene;
    let manager: JetStreamManager;
    let ask: Asker["ask"];
    let codeOf: Asker["codeOf"];

    before(async () => {
      stage = await open();
      manager = await jetstreamManager(stage.admin);
      ({ ask, codeOf } = askerOn(stage.outsider));
      await ask("routing:add", { id: "rule", event: "fire:seen", emit: "alarm:raised" }); // so that a module has a consumer
      await ask("event:emit", { event: "fire:seen", id: "first", data: 1 });
      await ask("event:emit", { event: "fire:seen", id: "later", delay: 3_600 });
      await settled();
      assert.match(JSON.stringify(await state()), /"EVENTS".*"routing".*"SCHEDULES"/);
    });
    after(() => stage[Symbol.asyncDispose]());

    /** All that outsiders must not change. */
    async function state() {
      const streams = [];
      for await (const { config, state: held } of manager.streams.list()) {
        const consumers = [];
        for await (const info of manager.consumers.list(config.name))
          consumers.push([info.name, info.config, info.delivered.stream_seq, info.ack_floor.stream_seq]);
        streams.push([config, held.messages, held.first_seq, held.last_seq, consumers.sort()]);
      }
      return streams;
    }

    /** Waits until the daemon's own doings are over. */
    async function settled() {
      let last = "";
      for (let same = 0; same < 3; ) {
        const now = JSON.stringify(await state());
        same = now === last ? same + 1 : 0;
        last = now;
      }
    }

    async function assertRefused(subject: string, payload: string, head: Record<string, string> = {}) {
      const sent = headers();
      for (const [key, value] of Object.entries(head)) sent.append(key, value);
      await assert.rejects(stage.outsider.request(subject, payload, { timeout: 2_000, headers: sent }), (error: Error) => {
        assert.ok(error instanceof PermissionViolationError || error.cause instanceof PermissionViolationError, `${subject}: ${error}`);
        return true;
      });
    }

    it("is refused every publish into the daemon's streams, whatever headers it gives, and changes nothing", async () => {
      const before = await state();
      const tricks: Record<string, string>[] = [
        {},
        { "ce-id": "forged", "ce-type": "fire:seen", "ce-source": "reprise/module/orchestration" },
        { "Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "event.orchestration.completed" },
        { "Nats-Rollup": "all" },
        { "Nats-Rollup": "sub" },
        { "Nats-Msg-Id": "guessed" },
        { "Nats-Msg-Id": "first" },
        { "Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1" },
        { "Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1" },
        { "Nats-Expected-Last-Sequence": "1" },
        { "Nats-TTL": "1s" },
        { "KV-Operation": "PURGE" },
      ];
      const subjects = [
        "event.fire.seen",
        "event.orchestration.completed",
        "schedule.pending.x",
        "schedule.due.x",
        "run.x",
        "dead.routing",
        "$KV.routing.rule",
        "$O.x.C.y",
      ];
      for (const subject of subjects) for (const head of tricks) await assertRefused(subject, "{}", head);
      assert.deepEqual(await state(), before);
    });

    it("cannot make its own event a duplicate of another's by an id that it guesses", async () => {
      assert.equal((await ask("event:emit", { event: "fire:seen", id: "guessed" })).status, "emitted");
      assert.equal((await ask("event:emit", { event: "fire:seen", id: "first" })).status, "duplicate");
    });

    it("has no say through the headers of an emit", async () => {
      await settled();
      const held = async () => (await manager.streams.info("EVENTS")).state.messages;
      const before = await held();
      const heads: Record<string, string>[] = [
        { "Nats-Rollup": "all" },
        { "Nats-Msg-Id": "x" },
        { "Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "event.agent.completed" },
        { "Nats-TTL": "1s" },
      ];
      for (const head of heads) {
        assert.equal((await ask("event:emit", { event: "plain:said" }, head)).status, "emitted");
      }
      assert.equal(await held(), before + 4);
      for await (const { header } of await manager.direct.getBatch("EVENTS", { seq: 1, batch: 100 })) {
        for (const key of ["Nats-Rollup", "Nats-Schedule", "Nats-TTL"]) assert.equal(header.get(key), "");
      }
    });

    it("cannot purge, delete, change or back up streams, nor make its own", async () => {
      await settled();
      const before = await state();
      for (const stream of ["EVENTS", "RUNS", "SCHEDULES", "DEAD", "KV_routing"]) {
        await assertRefused(`$JS.API.STREAM.PURGE.${stream}`, "");
        await assertRefused(`$JS.API.STREAM.DELETE.${stream}`, "");
        await assertRefused(`$JS.API.STREAM.MSG.DELETE.${stream}`, JSON.stringify({ seq: 1 }));
        await assertRefused(`$JS.API.STREAM.UPDATE.${stream}`, JSON.stringify({ name: stream, subjects: ["other.>"], max_msgs: 1 }));
        await assertRefused(`$JS.API.STREAM.SNAPSHOT.${stream}`, JSON.stringify({ deliver_subject: "mine" }));
        await assertRefused(`$JS.API.STREAM.RESTORE.${stream}`, "{}");
      }
      await assertRefused("$JS.API.STREAM.CREATE.MINE", JSON.stringify({ name: "MINE", sources: [{ name: "EVENTS" }] }));
      await assertRefused("$JS.API.STREAM.CREATE.MINE", JSON.stringify({ name: "MINE", subjects: ["composition:get"] }));
      assert.deepEqual(await state(), before);
    });

    it("cannot make, change, read or end a module's consumer", async () => {
      await settled();
      const before = await state();
      for (const consumer of ["routing", "agent"]) {
        const config = JSON.stringify({ stream_name: "EVENTS", config: { durable_name: consumer, ack_policy: AckPolicy.None } });
        await assertRefused(`$JS.API.CONSUMER.CREATE.EVENTS.${consumer}`, config);
        await assertRefused(`$JS.API.CONSUMER.CREATE.EVENTS.${consumer}.event.>`, config);
        await assertRefused(`$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.${consumer}`, config);
        await assertRefused(`$JS.API.CONSUMER.DELETE.EVENTS.${consumer}`, "");
        await assertRefused(`$JS.API.CONSUMER.PAUSE.EVENTS.${consumer}`, JSON.stringify({ pause_until: "2100-01-01T00:00:00Z" }));
        await assertRefused(`$JS.API.CONSUMER.MSG.NEXT.EVENTS.${consumer}`, "");
        await assertRefused(`$JS.ACK.EVENTS.${consumer}.1.1.1.1.0`, "+ACK");
        await assertRefused(`$JS.ACK._.hash.EVENTS.${consumer}.1.1.1.1.0.token`, "+ACK");
      }
      await assertRefused("$JS.API.CONSUMER.CREATE.EVENTS", JSON.stringify({ stream_name: "EVENTS", config: { durable_name: "routing" } }));
      await assertRefused("$JS.API.CONSUMER.CREATE.SCHEDULES.mine", "{}");
      assert.deepEqual(await state(), before);
    });

    it("cannot forge a module's event, neither by an emit nor by a reply that the server copies", async () => {
      assert.equal(await codeOf("event:emit", { event: "orchestration:completed", data: { run_id: "x" } }), "EVENT_RESERVED");
      assert.equal(await codeOf("event:emit", { events: [{ event: "orchestration:completed" }] }), "EVENT_RESERVED");
      assert.equal(await codeOf("event:emit", { event: "orchestration:completed", delay: 0.01 }), "EVENT_RESERVED");
      const head = headers();
      for (const [key, value] of [
        ["ce-id", "copied"],
        ["ce-type", "orchestration:completed"],
        ["ce-source", "reprise/module/orchestration"],
      ] as const)
        head.append(key, value);
      stage.outsider.publish("system:ping", "{}", { reply: "event.orchestration.completed", headers: head });
      stage.outsider.publish("$JS.API.STREAM.INFO.EVENTS", "", { reply: "event.orchestration.completed", headers: head });
      await stage.outsider.flush();
      await ask("system:ping");
      const { events } = await ask<{ events: unknown[] }>("event:query", { types: ["orchestration:*"] });
      assert.deepEqual(events, []);
      assert.equal(await codeOf("event:trace", { id: "copied" }), "EVENT_NOT_FOUND");
    });

    it("cannot answer commands in the daemon's place", async () => {
      const refused = Promise.withResolvers<Error | null>();
      stage.outsider.subscribe("composition:get", { queue: "reprise", callback: (error) => refused.resolve(error) });
      assert.ok((await refused.promise) instanceof PermissionViolationError);
      for (let count = 0; count < 20; count++)
        assert.equal((await ask("composition:get", { name: "compression_tournament" })).type, "orchestration");
    });
  });
}

interface Credentials {
  readonly servers: string;
  readonly user?: string;
  readonly pass?: string;
}

async function scene(daemon: AsyncDisposable, outside: Credentials, inside: Credentials): Promise<Scene> {
  const outsider = await connect(outside);
  const admin = await connect(inside);
  return {
    outsider,
    admin,
    async [Symbol.asyncDispose]() {
      await Promise.all([outsider.close(), admin.close()]);
      await daemon[Symbol.asyncDispose]();
    },
  };
}

function optionsOf(url: string): Credentials {
  const { username, password, host } = new URL(url);
  return { servers: host, user: username, pass: password };
}
