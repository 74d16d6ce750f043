/**
 * Discovers the modules, checks their declarations before anything starts, starts them with a deadline and stops them in
 * reverse order. A fault names the culprit.
 */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Logger } from "pino";
import type { Module, ModuleContext } from "./module.ts";
import { domainOf, isName, isPattern, overlap } from "./names.ts";
import type { Router, RunningModule } from "./router.ts";

const startDeadline = 10_000; // milliseconds
const stopDeadline = 1_000;

/** A module that cannot be used; the message names it. */
export class ModuleError extends Error {
  override readonly name = "ModuleError";
}

/** Loads `<folder>/<name>.ts` and `<folder>/<name>/index.ts`, in the order of their names. @throws ModuleError naming the file */
export async function discoverModules(folder: string): Promise<Module[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const files = entries
    .map((entry) => (entry.isDirectory() ? join(entry.name, "index.ts") : entry.name))
    .filter((file) => file.endsWith(".ts") && existsSync(join(folder, file)))
    .sort();
  return Promise.all(files.map((file) => load(folder, file)));
}

async function load(folder: string, file: string): Promise<Module> {
  const loaded: { default?: Module } = await import(pathToFileURL(join(folder, file)).href).catch((error: unknown) => {
    throw new ModuleError(`modules/${file} cannot be loaded: ${error instanceof Error ? error.message : error}`, { cause: error });
  });
  const module = loaded.default;
  if (typeof module?.start !== "function") throw new ModuleError(`modules/${file} has no module as its default export`);
  const expected = file.replace(/(\/index)?\.ts$/, "");
  if (module.name !== expected) throw new ModuleError(`modules/${file} calls itself "${module.name}"; expected "${expected}"`);
  return module;
}

/** Names must be well formed and in the module's own domain; patterns must not overlap. @throws ModuleError */
export function checkAlone(module: Module): void {
  const fail = (problem: string) => {
    throw new ModuleError(`module ${module.name}: ${problem}`);
  };
  const names = [...Object.keys(module.commands), ...Object.keys(module.events)];
  for (const name of names) {
    if (!isName(name)) fail(`"${name}" is not a name of the form domain:action`);
    if (domainOf(name) !== module.name) fail(`${name} is not in its domain "${module.name}"`);
  }
  for (const name of Object.keys(module.commands)) {
    if (module.events[name] !== undefined) fail(`${name} is declared as a command and as an event`);
  }
  const patterns = Object.keys(module.listens ?? {});
  for (const [index, pattern] of patterns.entries()) {
    if (!isPattern(pattern)) fail(`listens to "${pattern}", which is not a pattern of names`);
    const other = patterns.slice(0, index).find((earlier) => overlap(earlier, pattern));
    if (other !== undefined) fail(`listens to ${other} and ${pattern}, which overlap`);
  }
}

/** @throws ModuleError for two modules with the same name, or one that listens to an event nobody declares */
export function checkTogether(modules: readonly Module[]): void {
  const byName = new Map<string, Module>();
  for (const module of modules) {
    if (byName.has(module.name)) throw new ModuleError(`two modules are called ${module.name}`);
    byName.set(module.name, module);
  }
  for (const module of modules) {
    for (const pattern of Object.keys(module.listens ?? {})) {
      const owner = byName.get(domainOf(pattern));
      const declared = owner === undefined || pattern.includes("*") || owner.events[pattern] !== undefined;
      if (!declared) throw new ModuleError(`module ${module.name}: listens to ${pattern}, which module ${owner?.name} does not emit`);
    }
  }
}

export interface ModuleHostOptions {
  readonly modules: readonly Module[];
  readonly router: Router;
  readonly log: Logger;
  contextFor(module: Module): ModuleContext;
}

/**
 * Checks and starts all modules, in their order. Disposing stops them in reverse order, each within a deadline.
 * @throws ModuleError naming the culprit; those that had started are stopped
 */
export async function startModules({
  modules,
  router,
  log,
  contextFor,
}: ModuleHostOptions): Promise<AsyncDisposable & { running: RunningModule[] }> {
  for (const module of modules) checkAlone(module);
  checkTogether(modules);
  for (const module of modules) router.declare(module);
  const running: RunningModule[] = [];
  const stop = async () => {
    for (const { module, state } of running.splice(0).reverse()) {
      await within(stopDeadline, "it did not stop", state[Symbol.asyncDispose]()).catch((error: unknown) => {
        log.error({ error, module: module.name }, "a module did not stop cleanly");
      });
    }
  };
  try {
    for (const module of modules) {
      const context = contextFor(module);
      running.push({ module, context, state: await start(module, context) });
    }
  } catch (error) {
    await stop();
    throw error;
  }
  for (const started of running) router.add(started);
  return { running, [Symbol.asyncDispose]: stop };
}

async function start(module: Module, context: ModuleContext): Promise<AsyncDisposable> {
  try {
    return await within(startDeadline, "it did not start", module.start(context));
  } catch (error) {
    throw new ModuleError(`module ${module.name} failed to start: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

async function within<Result>(milliseconds: number, complaint: string, work: Result | PromiseLike<Result>): Promise<Result> {
  const overdue = Promise.withResolvers<never>();
  const timer = setTimeout(() => overdue.reject(new Error(`${complaint} within ${milliseconds / 1000} s`)), milliseconds);
  try {
    return await Promise.race([work, overdue.promise]);
  } finally {
    clearTimeout(timer);
  }
}
