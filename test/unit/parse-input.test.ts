/** Whoever asks for something wrongly is told where, and what is expected there: of every command. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import { discoverModules } from "../../daemon/module-host.ts";
import { type Problem, parseInput } from "../../daemon/parse-input.ts";
import { projectFolder } from "../../daemon/project.ts";

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema | boolean;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly $ref?: string;
}

const wrongValues = [null, true, -1.5, 1e12, "", "§ §", "x".repeat(200_000), [], [[]], {}, { unknown_field: 1 }];

const problemsOf = (schema: z.ZodType, input: unknown): readonly Problem[] => {
  const parsed = parseInput(schema, input);
  return parsed.success ? [] : parsed.problems;
};

/** Places where a value can stand, as functions that put one there. */
function* places(schema: JsonSchema, depth = 0): Generator<{ name: string; put(value: unknown): unknown }> {
  yield { name: "", put: (value) => value };
  if (depth === 4) return;
  const { properties = {}, additionalProperties, items, anyOf = [], oneOf = [] } = schema;
  for (const form of [...anyOf, ...oneOf]) yield* places(form, depth + 1);
  for (const [key, field] of Object.entries(properties)) {
    for (const { name, put } of places(field, depth + 1)) yield { name: `.${key}${name}`, put: (value) => ({ [key]: put(value) }) };
  }
  if (typeof additionalProperties === "object") {
    for (const { name, put } of places(additionalProperties, depth + 1))
      yield { name: `.any${name}`, put: (value) => ({ any: put(value) }) };
  }
  if (typeof items === "object") {
    for (const { name, put } of places(items, depth + 1)) yield { name: `[0]${name}`, put: (value) => [put(value)] };
  }
}

test("whatever is wrong in the input of a command, the message says what is expected", async () => {
  let checked = 0;
  const bare = new Map<string, string>();
  for (const { commands } of await discoverModules(join(projectFolder, "modules"))) {
    for (const [command, { input }] of Object.entries(commands)) {
      const schema = z.toJSONSchema(input, { io: "input", unrepresentable: "any", reused: "inline" }) as JsonSchema;
      for (const { name, put } of places(schema)) {
        for (const value of wrongValues) {
          for (const { path, message } of problemsOf(input, put(value))) {
            checked++;
            if (!/expected |must |at most|is required|is needed/i.test(message)) bare.set(`${command} ${name} ${path.join(".")}`, message);
          }
        }
      }
    }
  }
  assert.ok(checked > 1_000, `${checked} messages`);
  assert.deepEqual(Object.fromEntries(bare), {});
});

test("of several allowed forms, the one that was meant tells what is wrong; if none was meant, all are listed", () => {
  const resolution = z.union([z.enum(["ours", "theirs"]), z.strictObject({ value: z.unknown() })]);
  const limit = z.union([
    z.number(),
    z.null(),
    z.strictObject({ at: z.array(z.union([z.string(), z.strictObject({ name: z.string() })])) }),
  ]);
  const to = z.union([z.literal("children"), z.strictObject({ group: z.string() }), z.strictObject({ agents: z.array(z.string()) })]);
  const schema = z.strictObject({
    to: to.optional(),
    resolutions: z.record(z.string().min(2), resolution).optional(),
    limit: limit.optional(),
  });
  for (const [input, path, message] of [
    [{ resolutions: { mood: "mine" } }, "resolutions.mood", 'expected "ours", "theirs" or object'],
    [{ resolutions: { mood: { value: 1, valeu: 1 } } }, "resolutions.mood.valeu", "is unknown: expected value"],
    [{ resolutions: { mood: {} } }, "resolutions.mood.value", "is required"],
    [{ resolutions: { m: "ours" } }, "resolutions.m", "the name is not valid: expected at least 2 characters"],
    [{ resolutions: "mine" }, "resolutions", "expected object"],
    [{ to: { group: 1 } }, "to.group", "Invalid input: expected string, received number"],
    [{ to: {} }, "to", "group is required: expected string; or agents is required: expected array"],
    [{ limit: "ten" }, "limit", "expected number, null or object"],
    [{ limit: { at: ["x", { name: 3 }] } }, "limit.at.1.name", "Invalid input: expected string, received number"],
    [{ limit: { at: [3] } }, "limit.at.0", "expected string or object"],
    [{ colour: 1 }, "colour", "is unknown: expected to, resolutions or limit"],
  ] as const) {
    const problems = problemsOf(schema, input);
    assert.deepEqual(
      problems.map((problem) => [problem.path.join("."), problem.message]),
      [[path, message]],
    );
  }
});

test("a search with an operator that does not exist is told those that do", async () => {
  const modules = await discoverModules(join(projectFolder, "modules"));
  const discover = modules.flatMap(({ commands }) => commands["composition:discover"] ?? [])[0] ?? assert.fail();
  const operators = { version: { "~": "1.0.0" } };
  assert.deepEqual(
    problemsOf(discover.input, { metadata_filter: operators }).map(({ path, message }) => `${path.join(".")} ${message}`),
    ["metadata_filter.version.~ is unknown: expected =, !=, >, >=, <, <=, in, contains or exists"],
  );
  assert.deepEqual(
    problemsOf(discover.input, { metadata_filter: { version: {} } }).map(({ message }) => message),
    ["expected at least one operator"],
  );
});
