/** Fake servers of language models over real HTTP: one that answers as it is told, and one that misbehaves. */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type ChatCompletionRequest, type FixtureResponse, LLMock } from "@copilotkit/aimock";

export type ModelRequest = ChatCompletionRequest;
export type ModelAnswer = FixtureResponse;

export interface ModelServer extends AsyncDisposable {
  readonly url: string;
  /** All requests so far, whatever protocol they came in. */
  readonly requests: readonly ModelRequest[];
}

/** Of each protocol: a section `models` whose default is at this server. */
export const protocols = {
  openai: (url: string) => ({ provider: "openai", model: "gpt-5-mini", base_url: `${url}/v1` }),
  anthropic: (url: string) => ({ provider: "anthropic", model: "claude-sonnet-4-5", base_url: `${url}/v1` }),
  google: (url: string) => ({ provider: "google", model: "gemini-2.5-flash", base_url: `${url}/v1beta` }),
  mistral: (url: string) => ({ provider: "mistral", model: "mistral-large-latest", base_url: `${url}/v1` }),
  openai_compatible: (url: string) => ({ provider: "openai_compatible", model: "local", base_url: `${url}/v1` }),
} as const;

/** Keys for them; anything will do. */
export function setModelKeys(): void {
  for (const variable of ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY", "MISTRAL_API_KEY"])
    process.env[variable] = `key-of-${variable}`;
}

/** @param answer what to say to a request, the index of which is given; the same for all protocols */
export async function startModelServer(
  answer: (request: ModelRequest, index: number) => ModelAnswer | Promise<ModelAnswer>,
  options: { truncateAfterChunks?: number; chunkSize?: number } = {},
): Promise<ModelServer> {
  const mock = new LLMock({ port: 0, logLevel: "silent" });
  const requests: ModelRequest[] = [];
  mock.on(
    {},
    async (request) => {
      requests.push(request);
      const response = await answer(request, requests.length - 1);
      // Gemini tells calls of tools with the reason that ends any answer.
      return "toolCalls" in response && request.model.startsWith("gemini") ? { finishReason: "stop", ...response } : response;
    },
    options,
  );
  await mock.start();
  return { url: mock.url, requests, [Symbol.asyncDispose]: () => mock.stop() };
}

export interface RawServer extends AsyncDisposable {
  readonly url: string;
  readonly count: number;
}

/** A server that does with each connection what the test says. */
export async function startRawServer(handle: (response: ServerResponse, index: number) => void): Promise<RawServer> {
  let count = 0;
  const server = createServer((request, response) => {
    request.resume();
    handle(response, count++);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get count() {
      return count;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** What was said to the model in one request, as one text. */
export const promptOf = ({ messages }: ModelRequest): string => messages.map(({ content }) => textOf(content)).join("\n");

function textOf(content: ModelRequest["messages"][number]["content"]): string {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => ("text" in part ? String(part.text) : "")).join("");
}
