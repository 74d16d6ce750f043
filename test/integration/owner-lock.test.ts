import assert from "node:assert/strict";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { acquireOwnerLock, OwnedElsewhereError } from "../../daemon/owner-lock.ts";
import { runChild } from "../harness/child.ts";
import { temporaryFolder } from "../harness/git.ts";

const contender = (file: string) => `
  const { acquireOwnerLock } = await project("daemon/owner-lock.ts");
  try {
    await acquireOwnerLock(${JSON.stringify(file)}, { purpose: "test" });
    console.log("won");
    setInterval(() => {}, 1_000);
  } catch (error) {
    console.log("refused " + error.owner?.pid);
  }`;

test("the second is refused and told who the owner is", async (t) => {
  const file = join(await temporaryFolder(t), "owner.lock");
  await using lock = await acquireOwnerLock(file, { purpose: "data folder" });
  await lock.describe({ url: "nats://127.0.0.1:4222" });
  await assert.rejects(acquireOwnerLock(file, { purpose: "data folder" }), (error) => {
    assert.ok(error instanceof OwnedElsewhereError);
    assert.deepEqual(error.owner, lock.owner);
    assert.match(error.message, new RegExp(`process ${process.pid} on ${hostname()} since \\d{4}-.* at nats://127.0.0.1:4222`));
    return true;
  });
});

test("a released lock can be taken again", async (t) => {
  const file = join(await temporaryFolder(t), "owner.lock");
  for (let round = 0; round < 3; round++) {
    const lock = await acquireOwnerLock(file, { purpose: "test" });
    await lock[Symbol.asyncDispose]();
    await lock[Symbol.asyncDispose]();
  }
});

test("of 20 processes that race, over a dead owner's name, one wins", { timeout: 60_000 }, async (t) => {
  const file = join(await temporaryFolder(t), "owner.lock");
  await writeFile(`${file}.json`, JSON.stringify({ purpose: "test", pid: 2 ** 22 - 1, host: hostname(), since: "2020-01-01T00:00:00Z" }));
  const children = Array.from({ length: 20 }, () => runChild(contender(file)));
  t.after(() => children.map((child) => child.process.kill("SIGKILL")));
  const results = await Promise.all(children.map((child) => child.line(() => true)));
  assert.equal(results.filter((result) => result === "won").length, 1);
  const winner = children[results.indexOf("won")]?.process.pid;
  assert.ok(
    results.every((result) => result === "won" || result === `refused ${winner}`),
    results.join("; "),
  );
});

test("the lock of an owner that was killed is free, even if another process has its id now", async (t) => {
  const file = join(await temporaryFolder(t), "owner.lock");
  const owner = runChild(contender(file));
  await owner.line((line) => line === "won");
  await assert.rejects(acquireOwnerLock(file, { purpose: "test" }), OwnedElsewhereError);
  owner.process.kill("SIGKILL");
  await owner.ended;
  // As if the id had been given to a process that lives: this one.
  const name = JSON.parse(await readFile(`${file}.json`, "utf8"));
  await writeFile(`${file}.json`, JSON.stringify({ ...name, pid: process.pid }));
  await using lock = await acquireOwnerLock(file, { purpose: "test" });
  assert.equal(lock.owner.pid, process.pid);
});

test("a folder that cannot be written to is an error of its own, not an owner", async (t) => {
  const folder = await temporaryFolder(t);
  await chmod(folder, 0o555);
  const source = contender(join(folder, "owner.lock"));
  const child = runChild(source.replace('console.log("refused " + error.owner?.pid)', "console.log(error.name)"), {
    user: process.getuid?.() === 0 ? 65_534 : undefined,
  });
  assert.notEqual(await child.line(() => true), "OwnedElsewhereError");
  child.process.kill("SIGKILL");
});
