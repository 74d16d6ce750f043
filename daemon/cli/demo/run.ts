/** The run of the demo: an agent that plays the pattern, watched through its events. */
import { type Client, CommandError } from "../client.ts";
import { showProgress } from "./progress.ts";

export const pattern = "compression_tournament";

interface RunStatus {
  readonly state: "running" | "completed" | "failed" | "cancelled";
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

export interface Played {
  readonly agent_id: string;
  readonly run_id: string;
  readonly result: unknown;
}

const waitSeconds = 20;

/**
 * Spawns the orchestrator and waits until its run ends.
 * @param total files that it will work on, for the progress
 * @throws CommandError when the run does not complete
 */
export async function play(client: Client, inputs: Readonly<Record<string, unknown>>, total: number, signal: AbortSignal): Promise<Played> {
  const watching = new AbortController();
  const doneOf = new Map<string, number>();
  const watched = (async () => {
    for await (const { run = "" } of client.events("policy:outcome_recorded", watching.signal)) doneOf.set(run, (doneOf.get(run) ?? 0) + 1);
  })();
  await client.flush();
  const spawned = await client.call<{ agent_id: string; run_id: string }>("agent:spawn", { profile: "base_orchestrator", pattern, inputs });
  const terminate = () => void client.call("agent:terminate", { agent_id: spawned.agent_id }).catch(() => {});
  signal.addEventListener("abort", terminate, { once: true });
  using progress = showProgress("learning", total);
  const ticking = setInterval(() => progress.update(doneOf.get(spawned.run_id) ?? 0), 100);
  try {
    for (;;) {
      signal.throwIfAborted();
      const { state, result, error } = await client.call<RunStatus>("orchestration:status", { run_id: spawned.run_id, wait: waitSeconds });
      if (state === "running") continue;
      signal.throwIfAborted();
      if (state !== "completed") {
        const message = `the run ended as ${state}${error ? `: ${error.code}: ${error.message}` : ""}`;
        throw new CommandError({ code: error?.code ?? "INTERNAL", message, details: { run_id: spawned.run_id }, retryable: false });
      }
      progress.update(total);
      return { ...spawned, result };
    }
  } finally {
    clearInterval(ticking);
    signal.removeEventListener("abort", terminate);
    watching.abort();
    await watched;
  }
}
