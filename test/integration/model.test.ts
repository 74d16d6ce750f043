import assert from "node:assert/strict";
import { before, describe, it, test } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import model from "../../modules/model/index.ts";
import {
  type ModelAnswer,
  type ModelRequest,
  promptOf,
  protocols,
  setModelKeys,
  startModelServer,
  startRawServer,
} from "../harness/model-server.ts";
import { startModule } from "../harness/module-context.ts";

const verdict = {
  type: "object",
  properties: { verdict: { type: "string", enum: ["yes", "no"] }, confidence: { type: "number" } },
  required: ["verdict", "confidence"],
  additionalProperties: false,
};
const weather = {
  name: "weather",
  description: "The weather of a place.",
  parameters: { type: "object", properties: { place: { type: "string" } } },
};

/** What each protocol calls the tokens of a question and of its answer. */
const counted = {
  prompt_tokens: 1000,
  completion_tokens: 20,
  input_tokens: 1000,
  output_tokens: 20,
  promptTokenCount: 1000,
  candidatesTokenCount: 20,
};

/** A module with one model, at a server that answers so. */
async function asking(
  answer: (request: ModelRequest, index: number) => ModelAnswer | Promise<ModelAnswer>,
  settings: object = {},
  options = {},
) {
  const server = await startModelServer(answer, options);
  const module = await startModule(model, { settings: { default: { ...protocols.openai_compatible(server.url), ...settings } } });
  return {
    server,
    module,
    generate: (request: object, signal?: AbortSignal) => module.call("model:generate", request, { signal }),
    async [Symbol.asyncDispose]() {
      await module[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

const codeOf = (work: Promise<unknown>): Promise<CodedError> =>
  work.then(
    (value) => assert.fail(`answered ${JSON.stringify(value)}`),
    (error: unknown) => {
      assert.ok(error instanceof CodedError, String((error as Error).stack));
      return error;
    },
  );

before(setModelKeys);

for (const [protocol, settingsAt] of Object.entries(protocols)) {
  describe(`a model that speaks as ${protocol}`, () => {
    const at = (url: string) => ({ default: { ...settingsAt(url), price: { input: 2, output: 10 } } });

    it("answers with text, and tells its tokens and cost", async () => {
      await using server = await startModelServer(() => ({ content: "It rains.", usage: counted }));
      await using module = await startModule(model, { settings: at(server.url) });
      const {
        text,
        usage,
        cost,
        model: name,
        attempts,
        finish_reason,
      } = await module.call("model:generate", { system: "Be brief.", prompt: "Weather?" });
      assert.deepEqual([text, name, attempts, finish_reason], ["It rains.", "default", 1, "stop"]);
      // The fake server tells Mistral nothing, so there they are estimated.
      const isTold = protocol !== "mistral";
      if (isTold) assert.deepEqual(usage, { input_tokens: 1000, output_tokens: 20, cached_tokens: 0 });
      else assert.ok(usage.input_tokens > 10 && usage.output_tokens === 3, JSON.stringify(usage));
      assert.equal(cost, (usage.input_tokens * 2 + usage.output_tokens * 10) / 1e6);
      assert.match(promptOf(server.requests[0] as ModelRequest), /Be brief\.[\s\S]*Weather\?/);
      const told = module.log.ofType("model:answered")[0]?.data;
      assert.deepEqual(told && { ...(told as object), milliseconds: 0, id: "" }, {
        id: "",
        model: "default",
        usage,
        cost,
        attempts,
        finish_reason,
        milliseconds: 0,
      });
    });

    it("calls a tool, sees its result, and goes on", async () => {
      await using server = await startModelServer(({ messages }) =>
        messages.some(({ role }) => role === "tool")
          ? { content: "Take an umbrella." }
          : { toolCalls: [{ name: "weather", arguments: '{"place":"Rome"}' }] },
      );
      await using module = await startModule(model, { settings: at(server.url) });
      const first = await module.call("model:generate", { prompt: "Umbrella in Rome?", tools: [weather] });
      const [call] = first.tool_calls;
      assert.deepEqual([call.name, call.arguments], ["weather", { place: "Rome" }]);
      const messages = [
        { role: "user", content: "Umbrella in Rome?" },
        { role: "assistant", content: first.text, tool_calls: first.tool_calls, continuation: first.continuation },
        { role: "tool", tool_call_id: call.id, name: "weather", content: { sky: "rain" } },
      ];
      const second = await module.call("model:generate", { messages, tools: [weather] });
      assert.equal(second.text, "Take an umbrella.");
      assert.match(promptOf(server.requests[1] as ModelRequest), /rain/);
    });

    it("gives an object that fits the schema", async () => {
      await using server = await startModelServer(() => ({ content: '{"verdict":"yes","confidence":0.9}' }));
      await using module = await startModule(model, { settings: at(server.url) });
      const { object } = await module.call("model:generate", { prompt: "Well?", schema: verdict });
      assert.deepEqual(object, { verdict: "yes", confidence: 0.9 });
    });

    it("is asked again after 429 and 500", async () => {
      await using server = await startModelServer((_, index) =>
        index < 2 ? { error: { message: "not now" }, status: index === 0 ? 429 : 500, retryAfter: 0 } : { content: "Here." },
      );
      await using module = await startModule(model, { settings: at(server.url) });
      const { text, attempts } = await module.call("model:generate", { prompt: "There?" });
      assert.deepEqual([text, attempts], ["Here.", 3]);
    });

    it("is asked again when its answer breaks off", async () => {
      await using server = await startModelServer(() => ({ content: "A long answer that never ends as it should." }), {
        truncateAfterChunks: 2,
        chunkSize: 4,
      });
      await using module = await startModule(model, { settings: { default: { ...at(server.url).default, attempts: 2 } } });
      const { code } = await codeOf(module.call("model:generate", { prompt: "Well?" }));
      assert.deepEqual([code, server.requests.length], ["MODEL_UNAVAILABLE", 2]);
    });
  });
}

describe("a structured answer", () => {
  it("that does not fit is mended once, and both rounds are counted", async () => {
    await using run = await asking((_, index) => ({
      content: index === 0 ? '{"verdict":"perhaps","confidence":1}' : '{"verdict":"no","confidence":1}',
    }));
    const { object, attempts, usage } = await run.generate({ prompt: "Well?", schema: verdict });
    assert.deepEqual([object, attempts], [{ verdict: "no", confidence: 1 }, 2]);
    assert.ok(usage.output_tokens > 8);
    assert.match(promptOf(run.server.requests[1] as ModelRequest), /does not fit the schema[\s\S]*verdict/);
  });

  it("that never fits is an error after the second round", async () => {
    await using run = await asking(() => ({ content: "I think so." }));
    const { code, details } = await codeOf(run.generate({ prompt: "Well?", schema: verdict }));
    assert.deepEqual([code, run.server.requests.length], ["MODEL_ANSWER_INVALID", 2]);
    assert.ok((details.usage as { output_tokens: number }).output_tokens > 0);
  });

  it("with a schema that is none is refused before anybody is asked", async () => {
    await using run = await asking(() => ({ content: "{}" }));
    assert.equal((await codeOf(run.generate({ prompt: "Well?", schema: { type: "wish" } }))).code, "REQUEST_INVALID");
    assert.equal(run.server.requests.length, 0);
  });
});

describe("a call of a tool", () => {
  it("that was not offered, or whose arguments are no JSON, is marked as invalid", async () => {
    await using run = await asking(() => ({
      toolCalls: [
        { name: "launch", arguments: "{}" },
        { name: "weather", arguments: '{"place":' },
      ],
    }));
    const { tool_calls } = await run.generate({ prompt: "Go.", tools: [weather] });
    assert.deepEqual(
      tool_calls.map(({ name, invalid }: { name: string; invalid?: string }) => [name, invalid !== undefined]),
      [
        ["launch", true],
        ["weather", true],
      ],
    );
  });
});

describe("a server that misbehaves", () => {
  const startedStream = (response: import("node:http").ServerResponse) => response.writeHead(200, { "content-type": "text/event-stream" });
  const piece = (content: string) =>
    `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta: { content }, finish_reason: null }] })}\n\n`;
  const at = (url: string, more: object = {}) => ({ settings: { default: { ...protocols.openai_compatible(url), attempts: 2, ...more } } });
  const cases: Record<
    string,
    { handle: Parameters<typeof startRawServer>[0]; code: string; message: RegExp; requests: number; settings?: object }
  > = {
    "hangs before its answer": {
      handle: () => {},
      code: "MODEL_UNAVAILABLE",
      message: /within 0.3 s/,
      requests: 2,
      settings: { timeout: 0.3 },
    },
    "hangs within its answer": {
      handle: (response) => startedStream(response).write(piece("Once")),
      code: "MODEL_UNAVAILABLE",
      message: /within 0.3 s/,
      requests: 2,
      settings: { timeout: 0.3 },
    },
    "closes the connection": { handle: (response) => response.destroy(), code: "MODEL_UNAVAILABLE", message: /./, requests: 2 },
    "answers with what is no stream": {
      handle: (response) => response.writeHead(200, { "content-type": "text/html" }).end("<h1>Welcome</h1>"),
      code: "MODEL_UNAVAILABLE",
      message: /ended without/,
      requests: 2,
    },
    "sends garbage in its stream": {
      handle: (response) => startedStream(response).end("data: {{{{\n\ndata: [DONE]\n\n"),
      code: "MODEL_UNAVAILABLE",
      message: /./,
      requests: 2,
    },
    "never ends": {
      handle(response) {
        startedStream(response);
        const timer = setInterval(() => response.write(piece("and so on ".repeat(100))), 1);
        response.on("close", () => clearInterval(timer));
      },
      code: "MODEL_REFUSED",
      message: /much longer than the 100 tokens/,
      requests: 1,
      settings: { max_tokens: 100 },
    },
    "refuses the key": {
      handle: (response) => response.writeHead(401, { "content-type": "application/json" }).end('{"error":{"message":"Incorrect key"}}'),
      code: "MODEL_REFUSED",
      message: /401/,
      requests: 1,
    },
    "asks for more patience than there is": {
      handle: (response) => response.writeHead(429, { "retry-after": "3600" }).end("{}"),
      code: "MODEL_UNAVAILABLE",
      message: /429/,
      requests: 1,
    },
  };
  for (const [name, { handle, code, message, requests, settings }] of Object.entries(cases)) {
    it(`and ${name} ends with ${code}`, async () => {
      await using server = await startRawServer(handle);
      await using module = await startModule(model, at(server.url, settings));
      const error = await codeOf(module.call("model:generate", { prompt: "Well?" }));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.equal(server.count, requests);
    });
  }

  it("is waited for as long as it asks, and no longer than the caller wants", async () => {
    await using server = await startRawServer((response) => response.writeHead(429, { "retry-after": "30" }).end("{}"));
    await using module = await startModule(model, at(server.url));
    const stop = new AbortController();
    const waiting = module.call("model:generate", { prompt: "Well?" }, { signal: stop.signal });
    setTimeout(() => stop.abort(new CodedError("REQUEST_TIMEOUT", "enough")), 300);
    assert.equal((await codeOf(waiting)).code, "REQUEST_TIMEOUT");
    assert.equal(server.count, 1);
  });

  it("never shows the key in an error", async () => {
    process.env.SECRET_OF_TEST = "sk-very-secret";
    await using server = await startRawServer((response) =>
      response.writeHead(401, { "content-type": "application/json" }).end('{"error":{"message":"Incorrect key sk-very-secret"}}'),
    );
    await using module = await startModule(model, at(server.url, { key_variable: "SECRET_OF_TEST" }));
    const error = await codeOf(module.call("model:generate", { prompt: "Well?" }));
    assert.match(error.message, /Incorrect key …/);
    assert.doesNotMatch(JSON.stringify(error.toBody()), /very-secret/);
  });

  it("is left alone after five failures in a row, and its fallback answers", async () => {
    await using broken = await startRawServer((response) => response.writeHead(500).end("{}"));
    await using sound = await startModelServer(() => ({ content: "Here." }));
    await using module = await startModule(model, {
      settings: {
        default: { ...protocols.openai_compatible(broken.url), attempts: 5, fallbacks: ["spare"] },
        spare: protocols.openai_compatible(sound.url),
      },
    });
    for (let round = 0; round < 3; round++) {
      const { text, model: name } = await module.call("model:generate", { prompt: "There?" });
      assert.deepEqual([text, name], ["Here.", "spare"]);
    }
    assert.equal(broken.count, 5);
    const { models } = await module.call("model:list", {});
    assert.deepEqual(
      models.map(({ name, state }: { name: string; state: string }) => [name, state]),
      [
        ["default", "resting"],
        ["spare", "ready"],
      ],
    );
  });
});

test("an answer that takes a while is told in pieces, which together are the answer", async () => {
  const words = "one two three four five six seven eight nine ten ".repeat(8);
  await using server = await startRawServer((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const rest = words.match(/.{1,16}/g) ?? [];
    const send = (delta: object, finish_reason: string | null) =>
      response.write(
        `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta, finish_reason }] })}\n\n`,
      );
    const timer = setInterval(() => {
      const content = rest.shift();
      if (content !== undefined) return void send({ content }, null);
      clearInterval(timer);
      send({}, "stop");
      response.end("data: [DONE]\n\n");
    }, 30);
  });
  await using module = await startModule(model, { settings: { default: protocols.openai_compatible(server.url) } });
  const { text } = await module.call("model:generate", { prompt: "Count.", stream: true });
  const pieces = module.log.ofType("model:streamed").map(({ data }) => data as { index: number; text: string });
  assert.ok(pieces.length > 1 && pieces.length < 20, String(pieces.length));
  assert.deepEqual(
    pieces.map(({ index }) => index),
    pieces.map((_, index) => index),
  );
  assert.equal(pieces.map((one) => one.text).join(""), words);
  assert.equal(text, words);
});

test("without a model, or without its key, the error says what to do", async () => {
  await using none = await startModule(model, {});
  const unknown = await codeOf(none.call("model:generate", { prompt: "Well?" }));
  assert.equal(unknown.code, "MODEL_NOT_CONFIGURED");
  assert.match(unknown.message, /section "models" of reprise.yaml/);
  await using keyless = await startModule(model, {
    settings: { default: { provider: "mistral", model: "large", key_variable: "NO_SUCH_KEY" } },
  });
  const missing = await codeOf(keyless.call("model:generate", { prompt: "Well?" }));
  assert.equal(missing.code, "MODEL_NOT_CONFIGURED");
  assert.match(missing.message, /set NO_SUCH_KEY in the environment/);
  assert.deepEqual((await keyless.call("model:list", {})).models[0].needs, "NO_SUCH_KEY");
});
