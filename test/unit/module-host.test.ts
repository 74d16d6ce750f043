import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it, test } from "node:test";
import pino from "pino";
import { z } from "zod";
import { createMetrics } from "../../daemon/metrics.ts";
import type { Module, ModuleContext } from "../../daemon/module.ts";
import { checkAlone, checkTogether, discoverModules, startModules } from "../../daemon/module-host.ts";
import { projectFolder } from "../../daemon/project.ts";
import { Router } from "../../daemon/router.ts";

const command = { description: "", input: z.strictObject({}), output: z.object({}), handle: () => ({}) };
const event = { description: "", schema: z.unknown() };
const idle = { [Symbol.asyncDispose]: async () => {} };

const moduleOf = (name: string, more: Partial<Module> = {}): Module => ({
  name,
  description: "",
  commands: {},
  events: {},
  start: () => idle,
  ...more,
});

const start = (modules: Module[]) =>
  startModules({
    modules,
    router: new Router({ signal: new AbortController().signal, metrics: createMetrics() }),
    log: pino({ level: "silent" }),
    contextFor: () => ({}) as ModuleContext,
  });

test("the router knows which commands of the modules only read", async () => {
  const router = new Router({ signal: new AbortController().signal, metrics: createMetrics() });
  for (const module of await discoverModules(join(projectFolder, "modules"))) router.declare(module);
  const reads = router.names().filter((name) => router.isRead(name));
  assert.deepEqual(reads.sort(), [
    "agent:discover",
    "agent:info",
    "agent:list",
    "approval:info",
    "approval:list",
    "composition:decisions",
    "composition:diff",
    "composition:discover",
    "composition:get",
    "composition:history",
    "composition:lineage",
    "composition:list",
    "composition:render",
    "composition:validate",
    "event:dead",
    "event:query",
    "event:trace",
    "experiment:status",
    "model:list",
    "orchestration:crystallize",
    "orchestration:explain",
    "orchestration:journal",
    "orchestration:list",
    "orchestration:simulate",
    "orchestration:status",
    "policy:compare",
    "policy:evaluate",
    "policy:list",
    "policy:stats",
    "routing:list",
    "system:commands",
    "system:info",
    "system:ping",
    "tool:list",
  ]);
  assert.equal(router.isRead("nobody:get"), false);
});

describe("the module host", () => {
  it("refuses a command outside the module's domain, naming both", () => {
    assert.throws(() => checkAlone(moduleOf("alpha", { commands: { "beta:go": command } })), /module alpha: beta:go is not in its domain/);
  });

  it("refuses a name that breaks the grammar", () => {
    assert.throws(() => checkAlone(moduleOf("alpha", { events: { "alpha:Went": event } })), /alpha:Went/);
  });

  it("refuses a name that is both command and event", () => {
    assert.throws(() => checkAlone(moduleOf("alpha", { commands: { "alpha:go": command }, events: { "alpha:go": event } })), /alpha:go/);
  });

  it("refuses listening patterns that overlap", () => {
    assert.throws(() => checkAlone(moduleOf("alpha", { listens: { "x:*": () => {}, "*:y": () => {} } })), /x:\* and \*:y, which overlap/);
  });

  it("refuses two modules of one name", () => {
    assert.throws(() => checkTogether([moduleOf("alpha"), moduleOf("alpha")]), /two modules are called alpha/);
  });

  it("refuses to listen to an event that its module does not emit", () => {
    assert.throws(
      () => checkTogether([moduleOf("alpha", { listens: { "beta:went": () => {} } }), moduleOf("beta")]),
      /module alpha: listens to beta:went, which module beta does not emit/,
    );
  });

  it("stops modules in the reverse order of their start", async () => {
    const order: string[] = [];
    const noting = (name: string) =>
      moduleOf(name, {
        start: () => {
          order.push(`start ${name}`);
          return { [Symbol.asyncDispose]: async () => void order.push(`stop ${name}`) };
        },
      });
    {
      await using _host = await start([noting("alpha"), noting("beta")]);
    }
    assert.deepEqual(order, ["start alpha", "start beta", "stop beta", "stop alpha"]);
  });

  it("names the module that fails to start, and stops those that had started", async () => {
    let stopped = false;
    const good = moduleOf("alpha", {
      start: () => ({
        [Symbol.asyncDispose]: async () => {
          stopped = true;
        },
      }),
    });
    const bad = moduleOf("beta", {
      start: () => {
        throw new Error("no such file");
      },
    });
    await assert.rejects(start([good, bad]), /module beta failed to start: no such file/);
    assert.ok(stopped);
  });

  it("goes on stopping when one module fails to", async () => {
    let stopped = false;
    const good = moduleOf("alpha", {
      start: () => ({
        [Symbol.asyncDispose]: async () => {
          stopped = true;
        },
      }),
    });
    const bad = moduleOf("beta", { start: () => ({ [Symbol.asyncDispose]: () => Promise.reject(new Error("stuck")) }) });
    const host = await start([good, bad]);
    await host[Symbol.asyncDispose]();
    assert.ok(stopped);
  });
});
