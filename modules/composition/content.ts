/** What a composition's text must hold. Unknown fields are the user's and are kept. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { isCompositionName } from "../../daemon/names.ts";
import { parseInput } from "../../daemon/parse-input.ts";
import { invalidYaml } from "../../daemon/yaml.ts";
import { readYamlOnce } from "./yaml-memory.ts";

export const compositionTypes = ["orchestration", "profile", "component"] as const;
export type CompositionType = (typeof compositionTypes)[number];

/** Semantic Versioning 2.0. */
const semver = /^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$/;

export const compositionName = z
  .string()
  .refine(
    isCompositionName,
    "expected lower case letters, digits, _ . - (at most 64), no .., no .lock or dot at the end, no device such as con",
  );
const nameList = z.array(z.string());

export const compositionFields = z.looseObject({
  name: compositionName,
  type: z.enum(compositionTypes),
  version: z.string().regex(semver, "expected a semantic version such as 1.0.0"),
  description: z.string().optional(),
  author: z.string().optional(),
  tags: nameList.optional(),
  extends: z.union([z.string(), nameList]).optional(),
  mixins: nameList.optional(),
  components: z.array(z.union([z.string(), z.looseObject({ name: z.string() })])).optional(),
  variables: z.record(z.string(), z.unknown()).optional(),
  capabilities: nameList.optional(),
  requirements: z.union([nameList, z.record(z.string(), z.unknown())]).optional(),
  lineage: z.record(z.string(), z.unknown()).optional(),
  orchestration_logic: z.looseObject({ strategy: z.string().optional() }).optional(),
  performance: z.record(z.string(), z.unknown()).optional(),
  learnings: z.array(z.unknown()).optional(),
});
export type CompositionFields = z.output<typeof compositionFields>;

/**
 * Reads and checks a composition.
 * @param expected what the file's place says; a text that says otherwise is invalid
 * @throws CodedError COMPOSITION_INVALID with details.issues [{message, line, column, path}]
 */
export function readComposition(text: string, expected: { name?: string; type?: CompositionType } = {}): CompositionFields {
  const yaml = readYamlOnce(text);
  const parsed = parseInput(compositionFields, yaml.data);
  const fields = parsed.success ? parsed.data : undefined;
  const issues = parsed.success ? [] : [...parsed.problems];
  for (const field of ["name", "type"] as const) {
    const given = fields?.[field];
    if (given !== undefined && expected[field] !== undefined && given !== expected[field]) {
      issues.push({ message: `is "${given}" but must be "${expected[field]}"`, path: [field] });
    }
  }
  if (fields?.type === "orchestration" && fields.name.endsWith("_decisions")) {
    issues.push({ message: 'must not end with "_decisions", which names the file of a pattern\'s decisions', path: ["name"] });
  }
  if (fields && issues.length === 0) return fields;
  throw invalidYaml(
    issues.map(({ message, path }) => {
      const { line, column } = yaml.locate(path);
      return { message, line, column, path: path.join(".") };
    }),
  );
}

/** The fields of a text, or what is wrong with it. */
export function tryReadComposition(text: string, expected: { name?: string; type?: CompositionType }): CompositionFields | CodedError {
  try {
    return readComposition(text, expected);
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
}
