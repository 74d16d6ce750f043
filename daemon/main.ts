/** Runs the daemon: `npm start -- [options]`. */
import { collectGarbage } from "./collect-garbage.ts";
import { ConfigError, loadConfig } from "./config.ts";
import { createLog } from "./log.ts";
import { packageVersion } from "./project.ts";
import { helpText } from "./settings.ts";

/** Milliseconds after which what was begun at the start is over. */
const settleTime = 2_000;

const invocation = readInvocation();
if (invocation.kind === "help") process.stdout.write(helpText());
else if (invocation.kind === "version") process.stdout.write(`${packageVersion}\n`);
else await run(invocation.config);

function readInvocation() {
  try {
    return loadConfig(process.argv.slice(2), process.env, process.cwd());
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\nTry --help.\n`);
    process.exit(2);
  }
}

function isMistake(error: unknown): error is Error {
  return error instanceof Error && ["ConfigError", "ModuleError", "OwnedElsewhereError"].includes(error.name);
}

async function run(config: Extract<ReturnType<typeof loadConfig>, { kind: "run" }>["config"]): Promise<void> {
  const log = await createLog(config.logLevel);
  const { startDaemon } = await import("./daemon.ts");
  const interrupted = new AbortController();
  const stopped = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      stopped.resolve(signal);
      interrupted.abort(new Error(`stopped by ${signal}`));
    });
  }
  try {
    const daemon = await startDaemon(config, log, interrupted.signal);
    process.stdout.write(`ready ${daemon.natsUrl} ${daemon.httpUrl}\n`);
    log.info({ nats: daemon.natsUrl, http: daemon.httpUrl, data: config.data }, "ready");
    setTimeout(collectGarbage, settleTime).unref();
    const signal = await stopped.promise;
    log.info({ signal }, "stopping");
    // The last resort, should a stop hang: whatever is left is recovered at the next start.
    setTimeout(() => process.exit(1), 4_900).unref();
    await daemon[Symbol.asyncDispose]();
    log.info("stopped");
    process.exit(0);
  } catch (error) {
    if (interrupted.signal.aborted) process.exit(0);
    // A mistake of the user's needs no stack, only its message.
    if (isMistake(error)) log.fatal(error.message);
    else log.fatal({ error }, error instanceof Error ? error.message : "the daemon cannot start");
    process.exit(1);
  }
}
