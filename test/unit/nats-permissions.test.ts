import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { discoverModules } from "../../daemon/module-host.ts";
import { clientPermissions, renderTemplate } from "../../daemon/nats/permissions.ts";
import { subjectsFor } from "../../daemon/nats/subjects.ts";

const project = join(import.meta.dirname, "..", "..");

test("docs/nats-permissions.conf is current (mend it with --test-update-snapshots)", async (t) => {
  const modules = await discoverModules(join(project, "modules"));
  assert.ok(modules.some(({ name }) => name === "event"));
  t.assert.fileSnapshot(renderTemplate(subjectsFor(), modules), join(project, "docs", "nats-permissions.conf"), {
    serializers: [(text) => text],
  });
});

test("a prefix moves the denied subjects and streams of the daemon under its name", () => {
  const { deny } = clientPermissions(subjectsFor("acme"), [{ name: "event", commands: {} }]).publish;
  for (const subject of ["acme.event.>", "acme.run.>", "acme.schedule.>", "acme.dead.>", "$JS.API.CONSUMER.*.ACME_EVENTS.event"]) {
    assert.ok(deny.includes(subject), subject);
  }
  assert.ok(!deny.includes("event.>"));
});

test("no denial covers the subjects of users' tools or an inbox", () => {
  const { allow, deny } = clientPermissions(subjectsFor(), [{ name: "event", commands: {} }]).publish;
  assert.deepEqual(allow, [">"]);
  assert.deepEqual(
    deny.filter((subject) => !/^(\$JS|\$KV|\$O|event|run|schedule|dead|agents\.hb\.reprise)\./.test(subject)),
    [],
  );
});
