/**
 * JSONata where it can be killed: a queue of requests in front of one evaluator process (evaluator.mjs).
 *
 * One request is in flight at a time, so what kills the process is known and costs its own caller alone: the others wait at
 * most 200 ms longer and are evaluated after the restart.
 */
import type { Logger } from "pino";
import { CodedError, type ErrorCode } from "../errors.ts";
import type { Expressions } from "../module.ts";
import { type Evaluator, type Exchange, startEvaluator } from "./child.ts";

const deadlineMilliseconds = 200;
const maximumExpressionCharacters = 65_536;
const maximumRequestBytes = 1_000_000;
const maximumWaiting = 10_000;
const maximumWaitingCharacters = 64_000_000;
/** Working time after which the process is replaced: below its limit of processor seconds (child.ts). */
const retireMilliseconds = 60_000;

interface Reply {
  value?: unknown;
  error?: { code: ErrorCode; message: string; details: Record<string, unknown> };
}

interface Waiting {
  readonly line: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: CodedError) => void;
}

/** `processId` is undefined while no evaluator runs: before the first use, after a kill. */
export type DisposableExpressions = Expressions & AsyncDisposable & { readonly processId: number | undefined };

/**
 * Starts nothing until the first use. The bindings `now` (RFC 3339 or milliseconds) and `random` (a seed) fix `$now()`,
 * `$millis()`, `$random()` and `$shuffle()`.
 *
 * Limits, each an EXPRESSION_LIMIT that names it: 200 ms (time); a heap of 64 MB (memory); 1000 nested evaluations (depth);
 * 65 536 characters of expression, 1 MB of input, 1 MB of result, 100 000 items of a sequence (size). More than 10 000 requests
 * or 64 MB waiting: EXPRESSION_BUSY.
 */
export function createExpressions({ log }: { log?: Logger } = {}): DisposableExpressions {
  const queue: Waiting[] = [];
  let waitingCharacters = 0;
  let evaluator: Evaluator | undefined;
  let workedMilliseconds = 0;
  let pumping: Promise<void> | undefined;
  let disposed = false;

  function retire() {
    evaluator?.kill();
    evaluator = undefined;
    workedMilliseconds = 0;
  }

  async function handle({ line, resolve, reject }: Waiting) {
    if (!evaluator?.alive) {
      retire();
      evaluator = startEvaluator();
    }
    const current = evaluator;
    const ready = await current.ready;
    if (disposed) return reject(shuttingDown());
    if (!ready) {
      log?.error({ processId: current.pid }, "expression evaluator did not start");
      return reject(new CodedError("EXPRESSION_BUSY", "The expression evaluator could not be started."));
    }
    const begun = performance.now();
    const exchange = await current.exchange(line, deadlineMilliseconds);
    workedMilliseconds += performance.now() - begun;
    if (exchange.kind === "answered") settle(JSON.parse(exchange.line), resolve, reject);
    else if (disposed) reject(shuttingDown());
    else {
      log?.warn({ end: exchange.kind, request: line.slice(0, 500) }, "expression evaluator was stopped by an expression");
      reject(stoppedError(exchange));
    }
    if (workedMilliseconds > retireMilliseconds) retire();
  }

  async function pump() {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      waitingCharacters -= next.line.length;
      await handle(next);
    }
    pumping = undefined;
  }

  function request(kind: "check" | "evaluate", expression: string, input?: unknown, bindings?: Record<string, unknown>) {
    return new Promise<unknown>((resolve, reject) => {
      if (disposed) throw shuttingDown();
      if (expression.length > maximumExpressionCharacters) throw sizeError("The expression is longer than 65 536 characters.");
      const line = `${JSON.stringify({ kind, expression, input, bindings })}\n`;
      if (Buffer.byteLength(line) > maximumRequestBytes) throw sizeError("The expression's input is larger than 1 MB.");
      if (queue.length >= maximumWaiting || waitingCharacters + line.length > maximumWaitingCharacters) {
        throw new CodedError("EXPRESSION_BUSY", "Too many expressions are waiting to be evaluated.");
      }
      queue.push({ line, resolve, reject });
      waitingCharacters += line.length;
      pumping ??= pump();
    });
  }

  return {
    get processId() {
      return evaluator?.alive ? evaluator.pid : undefined;
    },
    async check(expression) {
      await request("check", expression);
    },
    evaluate: (expression, input, bindings) => request("evaluate", expression, input, bindings),
    async [Symbol.asyncDispose]() {
      disposed = true;
      for (const { reject } of queue.splice(0)) reject(shuttingDown());
      retire();
      await pumping;
    },
  };
}

function settle({ value, error }: Reply, resolve: Waiting["resolve"], reject: Waiting["reject"]) {
  if (error === undefined) resolve(value);
  else reject(new CodedError(error.code, error.message, error.details));
}

const shuttingDown = () => new CodedError("SHUTTING_DOWN", "The daemon is stopping.");
const sizeError = (message: string) => new CodedError("EXPRESSION_LIMIT", message, { limit: "size" });

/** What ended the process: our clock, or, when it died by itself, its heap (it aborts) or its stack (a segmentation fault). */
function stoppedError(exchange: Exclude<Exchange, { kind: "answered" }>): CodedError {
  const limit = exchange.kind === "late" ? "time" : exchange.signal === "SIGSEGV" ? "depth" : "memory";
  return new CodedError("EXPRESSION_LIMIT", `The expression exceeded its limit of ${limit} and was stopped.`, { limit });
}
