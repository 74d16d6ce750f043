import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join, parse } from "node:path";
import { test } from "node:test";
import { clientPermissions, renderTemplate } from "../../daemon/nats/permissions.ts";
import { subjectsFor } from "../../daemon/nats/subjects.ts";

const project = join(import.meta.dirname, "..", "..");

test("docs/nats-permissions.conf is current (mend it with --test-update-snapshots)", (t) => {
  const modules = readdirSync(join(project, "modules"))
    .map((file) => parse(file).name)
    .sort();
  assert.ok(modules.includes("event"));
  t.assert.fileSnapshot(renderTemplate(subjectsFor(), modules), join(project, "docs", "nats-permissions.conf"), {
    serializers: [(text) => text],
  });
});

test("a prefix moves the denied subjects and streams of the daemon under its name", () => {
  const { deny } = clientPermissions(subjectsFor("acme"), ["event"]).publish;
  for (const subject of ["acme.event.>", "acme.run.>", "acme.schedule.>", "acme.dead.>", "$JS.API.CONSUMER.*.ACME_EVENTS.event"]) {
    assert.ok(deny.includes(subject), subject);
  }
  assert.ok(!deny.includes("event.>"));
});

test("no denial covers the subjects of users' tools or an inbox", () => {
  const { allow, deny } = clientPermissions(subjectsFor(), ["event"]).publish;
  assert.deepEqual(allow, [">"]);
  assert.deepEqual(
    deny.filter((subject) => !/^(\$JS|\$KV|\$O|event|run|schedule|dead)\./.test(subject)),
    [],
  );
});
