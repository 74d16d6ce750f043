/**
 * `reprise why <decision|choice|run>`: why something was decided, from the event log, and where git says the same.
 *
 * Reading order: why/records (what the daemon knows), why/local-git (the repository, where it is on this machine), why/story
 * (both put together), why/tell (as text).
 */
import { Client } from "./client.ts";
import type { Place } from "./locate.ts";
import { findStory } from "./why/story.ts";
import { tell } from "./why/tell.ts";

/** @throws CommandError DECISION_UNKNOWN if neither a decision nor a run has the id, ConnectionError */
export async function runWhy({ id, place, json }: { id: string; place: Place; json: boolean }): Promise<void> {
  await using client = await Client.connect(place);
  const story = await findStory(client, id);
  process.stdout.write(json ? `${JSON.stringify(story)}\n` : tell(story));
}
