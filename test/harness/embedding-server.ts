/** A fake server of embeddings over real HTTP, in the protocols of OpenAI (which others share) and of Google. */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

export interface EmbeddingServer extends AsyncDisposable {
  readonly url: string;
  /** The texts of each request so far. */
  readonly requests: readonly (readonly string[])[];
}

interface Asked {
  readonly input?: readonly string[];
  readonly requests?: readonly { readonly content: GoogleContent }[];
  readonly content?: GoogleContent;
}
interface GoogleContent {
  readonly parts: readonly { readonly text: string }[];
}

/**
 * @param vectorOf what a text means
 * @param interfere answers in place of the server when it returns true; gets the index of the request
 */
export async function startEmbeddingServer(
  vectorOf: (text: string) => readonly number[],
  interfere: (response: ServerResponse, index: number) => boolean = () => false,
): Promise<EmbeddingServer> {
  const requests: string[][] = [];
  const server = createServer(async (request, response) => {
    const body = (await json(request)) as Asked;
    const contents = body.requests?.map(({ content }) => content) ?? (body.content ? [body.content] : []);
    const texts = [...(body.input ?? contents.map(({ parts }) => parts.map(({ text }) => text).join("")))];
    requests.push(texts);
    if (interfere(response, requests.length - 1)) return;
    response.setHeader("content-type", "application/json");
    const vectors = texts.map((text) => [...vectorOf(text)]);
    const tokens = { prompt_tokens: 10 * texts.length, total_tokens: 10 * texts.length };
    const answer = body.input
      ? { object: "list", model: "m", data: vectors.map((embedding, index) => ({ object: "embedding", index, embedding })), usage: tokens }
      : body.requests
        ? { embeddings: vectors.map((values) => ({ values })) }
        : { embedding: { values: vectors[0] } };
    response.end(JSON.stringify(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Texts mean how many words of each topic they have: those about one topic are alike, with no word in common. */
export const meaningBy =
  (topics: readonly (readonly string[])[]) =>
  (text: string): number[] => {
    const words = new Set(text.toLowerCase().split(/\W+/));
    return [...topics.map((topic) => topic.filter((word) => words.has(word)).length), 0.1];
  };
