/** Many clients change the same repository at once: the result is that of some order of their changes, and none is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { fsck, type Git, gitIn } from "../harness/git.ts";
import { countIn, countingPattern, increment, tryAsk } from "../harness/pattern-clients.ts";
import { rounds } from "../harness/rounds.ts";
import { until } from "../harness/until.ts";

const changes = rounds(120, 500);
const clients = 8;
const shared = ["shared-0", "shared-1", "shared-2"];

async function withClients(t: { after(done: () => unknown): void }, daemon: TestDaemon): Promise<NatsConnection[]> {
  const connections = await Promise.all(Array.from({ length: clients }, () => connect({ servers: daemon.daemon.natsUrl })));
  t.after(() => Promise.all(connections.map((connection) => connection.close())));
  return connections;
}

/** All at once, spread over the clients. */
const together = <Result>(
  connections: readonly NatsConnection[],
  count: number,
  work: (client: NatsConnection, number: number) => Promise<Result>,
): Promise<Result[]> =>
  Promise.all(Array.from({ length: count }, (_, number) => work(connections[number % connections.length] as NatsConnection, number)));

/** One line of commits, each file as the last commit left it. */
async function assertSound(git: Git): Promise<void> {
  assert.equal(await git("rev-list", "--merges", "--count", "HEAD"), "0");
  assert.equal(await fsck(git), "");
  assert.equal(await git("status", "--porcelain"), "");
}

test(`${changes} concurrent saves of three patterns from ${clients} clients: each adds to what the one before left`, {
  timeout: changes * 1_000,
}, async (t) => {
  await using daemon = await startTestDaemon();
  const connections = await withClients(t, daemon);
  for (const name of shared) await daemon.ask("composition:create", { type: "orchestration", name, content: countingPattern(name, 0) });

  const commits = await together(connections, changes, (client, number) => increment(client, shared[number % shared.length] as string));
  assert.ok(!commits.includes(undefined), "every save was acknowledged");

  const git = gitIn(daemon.config.compositions);
  for (const [position, name] of shared.entries()) {
    const history = (await git("log", "--reverse", "--format=%H", "--", `orchestrations/${name}.yaml`)).split("\n");
    const counts = await Promise.all(history.map(async (commit) => countIn(await git("show", `${commit}:orchestrations/${name}.yaml`))));
    const expected = commits.filter((_, number) => number % shared.length === position).length;
    assert.deepEqual(
      counts,
      Array.from({ length: expected + 1 }, (_, count) => count),
      name,
    );
  }
  await assertSound(git);
});

test(`${changes} concurrent forks under a third as many names: one of each wins, the others are told`, async (t) => {
  await using daemon = await startTestDaemon();
  const connections = await withClients(t, daemon);
  await daemon.ask("composition:create", { type: "orchestration", name: "parent", content: countingPattern("parent", 0) });
  const names = Math.ceil(changes / 3);
  const replies = await together(connections, changes, async (client, number) => {
    const name = `contested-${number % names}`;
    const request = { parent: "parent", name, reason: "a contest", modifications: { description: `${number}` } };
    return { name, number, ...(await tryAsk<{ commit: string }>(client, "composition:fork", request, 60_000)) };
  });
  for (const [name, group] of Map.groupBy(replies, (reply) => reply.name)) {
    const winners = group.filter(({ body }) => body !== undefined);
    assert.equal(winners.length, 1, name);
    const refusals = group.filter(({ body }) => !body).map(({ code }) => code ?? "no code");
    assert.deepEqual(
      refusals.filter((code) => code !== "COMPOSITION_EXISTS"),
      [],
      name,
    );
    const { content } = await daemon.ask<{ content: string }>("composition:get", { name });
    assert.equal(countIn(content), winners[0]?.number);
  }
  await assertSound(gitIn(daemon.config.compositions));
});

const merges = rounds(24, 160);

test(`${merges} forks, each with an addition of its own, merged back at the same time: the parent has them all`, {
  timeout: merges * 2_000,
}, async (t) => {
  await using daemon = await startTestDaemon();
  const connections = await withClients(t, daemon);
  const content = `${countingPattern("parent", 0)}variables:\n  start: 0\n`;
  await daemon.ask("composition:create", { type: "orchestration", name: "parent", content });
  await together(connections, merges, async (client, number) => {
    const name = `fork-${number}`;
    const modifications = { [`variables.of_${number}`]: number };
    const { code } = await tryAsk(client, "composition:fork", { parent: "parent", name, reason: "an addition", modifications }, 60_000);
    assert.equal(code, undefined);
  });
  await together(connections, merges, async (client, number) => {
    const request = { source: `fork-${number}`, target: "parent", strategy: "full" };
    for (;;) {
      const { body, code } = await tryAsk<{ status: string }>(client, "composition:merge", request, 60_000);
      if (code === "COMPOSITION_STALE") continue; // another merge came between
      if (code === "REQUEST_TIMEOUT") continue; // so many at once that its turn did not come, or its reply
      assert.ok(body?.status === "merged" || body?.status === "unchanged", code ?? body?.status);
      return;
    }
  });
  const { data } = await daemon.ask<{ data: { variables: Record<string, number> } }>("composition:get", { name: "parent" });
  assert.deepEqual(
    Object.values(data.variables).toSorted((left, right) => left - right),
    [0, ...Array(merges).keys()],
  );
  await assertSound(gitIn(daemon.config.compositions));
});

test(`${changes} concurrent decisions on three patterns, beside saves of the same: all are in git, once`, async (t) => {
  await using daemon = await startTestDaemon();
  const connections = await withClients(t, daemon);
  for (const name of shared) await daemon.ask("composition:create", { type: "orchestration", name, content: countingPattern(name, 0) });
  const saving = together(connections, 24, (client, number) => increment(client, shared[number % shared.length] as string));
  const ids = await together(connections, changes, async (client, number) => {
    const request = { pattern: shared[number % shared.length], decision: `number ${number}`, ...(number % 5 === 0 && { wait: "commit" }) };
    const { body, code } = await tryAsk<{ id: string }>(client, "composition:track_decision", request, 60_000);
    assert.ok(body, code);
    return body.id;
  });
  assert.ok(!(await saving).includes(undefined));
  for (const [position, pattern] of shared.entries()) {
    const expected = ids.filter((_, number) => number % shared.length === position).toSorted();
    const recorded = async () =>
      (await daemon.ask<{ decisions: { id: string }[] }>("composition:decisions", { pattern, limit: 1_000 })).decisions.map(({ id }) => id);
    await until(async () => (await recorded()).length >= expected.length, "the decisions to reach git");
    assert.deepEqual((await recorded()).toSorted(), expected);
  }
  await assertSound(gitIn(daemon.config.compositions));
});
