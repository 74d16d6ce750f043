/** Sets the checkout up and runs one of its programs in a Node that runs TypeScript. Plain JavaScript for Node 20. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import { cache, SetupError, setUp } from "./setup.mjs";

/** Compiled code is kept between starts; glibc has two memory pools rather than eight a core, which saves some 15 MB. */
const defaults = { NODE_COMPILE_CACHE: join(cache, "compiled"), MALLOC_ARENA_MAX: "2" };

/**
 * Runs `node <args>` with this process's stdio, passes signals on to it, and ends as it ends.
 * @param {string[]} args arguments of Node: options, file, arguments of the file
 * @param {Record<string, string>} environment added to this process's own
 */
export async function launch(args, environment = {}) {
  const node = await setUpOrExit();
  const child = spawn(node, ["--disable-warning=ExperimentalWarning", ...args], {
    stdio: "inherit",
    env: { ...defaults, ...process.env, ...environment },
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]) process.on(signal, () => child.kill(signal));
  if (process.env.npm_lifecycle_event) stopWithParent(child);
  child.on("error", (error) => {
    console.error(`reprise: ${error.message}`);
    process.exitCode = 2;
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

/** @returns {Promise<string>} path of the Node to use */
export async function setUpOrExit() {
  try {
    return await setUp();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`reprise: ${error.message}`);
    process.exit(2);
  }
}

/** npm passes signals on, except SIGKILL: a killed `npm start` must not leave a daemon that its user no longer sees. */
function stopWithParent(child) {
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    child.kill("SIGTERM");
  }, 250);
}
