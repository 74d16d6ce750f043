/**
 * The demo: an agent learns, on real files, which compressor suits which kind of file.
 *
 * The shipped pattern plays first and learns as it goes; then every method is measured on the same files, so that the table
 * shows what its choices are worth. A second demo starts from what the first learned.
 */
import { resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Client, CommandError } from "./client.ts";
import { reachDaemon } from "./demo/daemon.ts";
import { findFiles } from "./demo/find-files.ts";
import { showProgress } from "./demo/progress.ts";
import { pattern, play } from "./demo/run.ts";
import { type MeasuredFile, type Measurement, renderTable, summarise, verdict } from "./demo/summary.ts";
import type { Place } from "./locate.ts";

export interface DemoOptions {
  readonly directory: string;
  readonly place: Place;
  readonly json: boolean;
  readonly signal: AbortSignal;
}

const maximumFiles = 500;
/** A millisecond is worth half a percent of a file. */
const lambda = 0.005;
const methods = ["store", "gzip-1", "gzip-6", "gzip-9", "brotli-4", "brotli-9", "zstd-3", "zstd-9", "zstd-19"];

/** @throws UsageError when there is no file to learn from, CommandError, ConnectionError, or the signal's reason */
export async function runDemo({ directory: given, place, json, signal }: DemoOptions): Promise<void> {
  const directory = resolve(given);
  const say = (text: string) => void (json || process.stdout.write(`${text}\n`));

  await using daemon = await reachDaemon(place, signal);
  const { client } = daemon;
  say(
    daemon.started
      ? "No daemon was running: one is started for the time of the demo, and its data stay."
      : `Played by the daemon at ${client.url}, which keeps what it learns.`,
  );

  const { files, more } = await findFiles(client, directory, maximumFiles);
  const known = await outcomesSoFar(client);
  if (more) say(`There are more than ${maximumFiles} files: the first ${maximumFiles} are played, sorted by path.`);
  if (files.length < methods.length) say("There are fewer files than methods: repeat the demo, or take a larger folder, to see it learn.");
  say(`${files.length} files below ${directory}, ${methods.length} methods, reward = saved share − ${lambda} · milliseconds.`);
  say(known === 0 ? "Nothing is known yet: the first choices are guesses." : `Starts from what ${known} earlier outcomes taught.`);

  const played = await play(client, { directory, limit: maximumFiles, lambda }, files.length, signal);
  const choices = choicesOf(played.result);
  const measured = await measure(client, choices, signal);
  const summary = summarise(measured, lambda);
  const decisions = await decisionsInGit(client, played.run_id, choices.size, signal);
  const { compositions } = await client.call<{ compositions: string }>("system:info", {});
  const gitLog = `git -C ${compositions} log --grep=${played.run_id}`;

  if (json) {
    const { agent_id, run_id } = played;
    const result = {
      directory,
      files: files.length,
      more,
      lambda,
      outcomes_before: known,
      agent_id,
      run_id,
      ...summary,
      decisions,
      git_log: gitLog,
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  say(`\n${renderTable(summary)}`);
  say(`${verdict(summary)}\n`);
  say(`${decisions} decisions of this run are in git, each with its options and its reason:\n  ${gitLog}`);
  say(`Run it again: it will start from ${known + choices.size} outcomes.`);
}

async function tool<Result>(client: Client, name: string, parameters: Readonly<Record<string, unknown>>): Promise<Result> {
  return (await client.call<{ result: Result }>("tool:call", { name, arguments: parameters })).result;
}

/** Outcomes in the slots from which the pattern chooses. */
async function outcomesSoFar(client: Client): Promise<number> {
  const { slots } = await client.call<{ slots: string[] }>("orchestration:explain", { pattern });
  const statistics = await Promise.all(slots.map((slot) => client.call<{ slots: { outcomes: number }[] }>("policy:stats", { slot })));
  return statistics.flatMap(({ slots: found }) => found).reduce((sum, { outcomes }) => sum + outcomes, 0);
}

/** Path → method, from what the pattern returns. */
function choicesOf(result: unknown): Map<string, string> {
  const { files } = result as { files: { path: string; method: string }[] };
  return new Map(files.map(({ path, method }) => [path, method]));
}

/** One call at a time: with more, the measured times would be those of a crowd. */
async function measure(client: Client, choices: ReadonlyMap<string, string>, signal: AbortSignal): Promise<MeasuredFile[]> {
  using progress = showProgress("measuring every method", choices.size);
  const files: MeasuredFile[] = [];
  for (const [path, choice] of choices) {
    signal.throwIfAborted();
    const measured = await measureFile(client, path);
    if (measured !== undefined) files.push({ path, choice, measured });
    progress.update(files.length);
  }
  return files;
}

/** Undefined for a file that is no longer there. */
async function measureFile(client: Client, path: string): Promise<MeasuredFile["measured"] | undefined> {
  const measured: Record<string, Measurement> = {};
  try {
    for (const method of methods) measured[method] = await tool<Measurement>(client, "compress", { path, method });
    return measured;
  } catch (error) {
    if (error instanceof CommandError && error.reply.code === "TOOL_FAILED") return undefined;
    throw error;
  }
}

/** Decisions reach git a moment after they were made. */
async function decisionsInGit(client: Client, run: string, expected: number, signal: AbortSignal): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    let count = 0;
    let cursor: string | undefined;
    do {
      const page = await client.call<{ decisions: unknown[]; cursor?: string }>("composition:decisions", {
        pattern,
        run_id: run,
        limit: 1_000,
        ...(cursor !== undefined && { cursor }),
      });
      count += page.decisions.length;
      cursor = page.cursor;
    } while (cursor !== undefined);
    if (count >= expected || attempt === 20) return count;
    await pause(250, undefined, { signal });
  }
}
