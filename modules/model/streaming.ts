/** Tells an answer as it comes: pieces of text are gathered, so that there are at most four events a second. */
import type { MessageMeta, ModuleContext } from "../../daemon/module.ts";

export interface Streaming {
  add(text: string): void;
  /** Tells what is left; the answer itself does not wait for that. */
  end(): void;
}

const interval = 250; // milliseconds

export function tellAsItComes(context: ModuleContext, model: string, meta: MessageMeta): Streaming {
  let gathered = "";
  let index = 0;
  let timer: NodeJS.Timeout | undefined;
  let last: Promise<unknown> = Promise.resolve();

  function tell(): void {
    clearTimeout(timer);
    timer = undefined;
    if (gathered === "") return;
    const chunk = { id: meta.id, model, index: index++, text: gathered };
    gathered = "";
    // What cannot be told is in the answer all the same.
    const onFailure = (error: unknown) => context.log.warn({ error }, "a piece of an answer could not be told");
    last = last.then(() => context.emit("model:streamed", chunk, meta).catch(onFailure));
  }

  return {
    add(text) {
      gathered += text;
      timer ??= setTimeout(tell, interval);
    },
    end: tell,
  };
}
