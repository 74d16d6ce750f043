import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { settingsOfModules } from "../../daemon/config.ts";
import { failureOf, modelError } from "../../modules/model/failure.ts";
import model from "../../modules/model/index.ts";
import { costOf } from "../../modules/model/settings.ts";
import { shapeOf } from "../../modules/model/structured.ts";

const refused = (models: unknown) => {
  try {
    settingsOfModules({ models }, [model]);
  } catch (error) {
    return (error as Error).message;
  }
  return assert.fail("it was taken");
};

describe("the section models", () => {
  it("is checked before anything starts, and the error names the place", () => {
    assert.match(refused({ default: { provider: "open", model: "m" } }), /^models.default.provider in reprise.yaml: /);
    assert.match(refused({ default: { provider: "openai" } }), /^models.default.model in reprise.yaml/);
    assert.match(
      refused({ default: { provider: "openai", model: "m", api_key: "sk-1" } }),
      /^models.default.api_key in reprise.yaml: is unknown/,
    );
    assert.match(refused({ default: { provider: "openai_compatible", model: "m" } }), /models.default.base_url .*needs base_url/);
    assert.match(
      refused({ default: { provider: "openai", model: "m", fallbacks: ["spare"] } }),
      /fallbacks .*"spare" is not another model/,
    );
    assert.match(refused({ default: { provider: "openai", model: "m", base_url: "file:///etc/passwd" } }), /base_url/);
    assert.match(refused({ "Not a name": { provider: "openai", model: "m" } }), /models.*Not a name/);
  });
});

describe("a cost", () => {
  const usage = { input_tokens: 1_000_000, output_tokens: 100_000, cached_tokens: 400_000 };
  it("is that of fresh input, cached input and output, or unknown", () => {
    assert.equal(costOf(usage, { input: 2, output: 10, cached_input: 0.5 }), 1.2 + 0.2 + 1);
    assert.equal(costOf(usage, { input: 2, output: 10 }), 3);
    assert.equal(costOf(usage, undefined), undefined);
  });
});

describe("a failure", () => {
  const failing = (statusCode: number, responseHeaders: Record<string, string> = {}) =>
    Object.assign(new Error("no"), { statusCode, responseHeaders });
  it("passes where asking again may help, and is a refusal where it cannot", () => {
    for (const status of [408, 409, 429, 500, 502, 503, 529])
      assert.equal(failureOf(failing(status), undefined).kind, "passing", String(status));
    for (const status of [400, 401, 403, 404, 413, 422])
      assert.equal(failureOf(failing(status), undefined).kind, "refused", String(status));
    assert.equal(failureOf(new Error("socket hang up"), undefined).kind, "passing");
  });

  it("tells how long the provider wants to be left alone, in seconds, milliseconds or as a date", () => {
    assert.equal(failureOf(failing(429, { "retry-after": "7" }), undefined).retryAfter, 7000);
    assert.equal(failureOf(failing(429, { "retry-after": "7", "retry-after-ms": "250" }), undefined).retryAfter, 250);
    const soon = failureOf(failing(429, { "retry-after": new Date(Date.now() + 60_000).toUTCString() }), undefined).retryAfter ?? 0;
    assert.ok(soon > 30_000 && soon <= 60_000, String(soon));
    assert.equal(failureOf(failing(429, { "retry-after": "soon" }), undefined).retryAfter, undefined);
    assert.equal(failureOf(failing(429), undefined).retryAfter, undefined);
  });

  it("of several models is one code: the most hopeful", () => {
    const of = (...kinds: ("passing" | "refused" | "unconfigured")[]) =>
      modelError(kinds.map((kind) => ({ kind, message: "no", model: "m" }))).code;
    assert.equal(of("refused", "passing"), "MODEL_UNAVAILABLE");
    assert.equal(of("unconfigured", "refused"), "MODEL_REFUSED");
    assert.equal(of("unconfigured"), "MODEL_NOT_CONFIGURED");
  });
});

describe("a shape", () => {
  it("reads JSON that fits the schema, and says what does not", () => {
    const { read } = shapeOf({
      type: "object",
      properties: { n: { type: "integer", minimum: 1 } },
      required: ["n"],
      additionalProperties: false,
    });
    assert.deepEqual(read(' {"n": 2}\n'), { object: { n: 2 } });
    assert.match(read('{"n": 0}').problem ?? "", /n/);
    assert.match(read('{"n": 1, "m": 1}').problem ?? "", /m/);
    assert.match(read("two").problem ?? "", /not JSON/);
  });
});
