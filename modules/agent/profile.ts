/** What a profile says about its agents. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import { issuesOf, parseInput, tellIssues } from "../../daemon/parse-input.ts";
import type { AgentRecord } from "./registry.ts";

const expression = z.string().describe("JSONata over {message, from, agent}");

/** How an agent without a model answers: the first rule whose condition holds. */
const rule = z.strictObject({
  when: expression.optional(),
  reply: expression.optional(),
  emit: z.array(z.strictObject({ event: z.string(), data: expression.optional() })).optional(),
});

const profileFields = z.looseObject({
  capabilities: z.array(z.string()).optional(),
  approval: z.array(z.string()).optional(),
  prompt: z.string().optional(),
  model: z.string().optional(),
  answers: z.array(rule).optional(),
  protocol: z.literal("agents").optional(),
  subject: z.string().optional(),
  outlives_parent: z.literal(true).optional(),
});
export type ProfileFields = z.output<typeof profileFields>;
export type Rule = z.output<typeof rule>;

export interface Profile extends ProfileFields {
  readonly commit: string;
}

/** Renders profiles; those of the present commit are kept, since many agents are spawned from few profiles. */
export class Profiles {
  readonly #context: ModuleContext;
  readonly #rendered = new Map<string, Promise<Profile>>();
  #head: string | undefined;

  constructor(context: ModuleContext) {
    this.#context = context;
  }

  /** The profile as it is now. @throws CodedError COMPOSITION_NOT_FOUND, COMPOSITION_INVALID */
  async current(name: string): Promise<Profile> {
    const head = await this.#context.repository.head();
    if (head !== this.#head) this.#rendered.clear();
    this.#head = head;
    const known = this.#rendered.get(name);
    if (known !== undefined) return known;
    const rendered = render(this.#context, { name });
    this.#rendered.set(name, rendered);
    rendered.catch(() => this.#rendered.delete(name));
    return rendered;
  }

  /** The profile that an agent was spawned from, with its task and inputs in the place of variables. */
  of({ profile, profile_commit, task, name, inputs }: AgentRecord): Promise<Profile> {
    const variables = { ...(task !== undefined && { task }), ...(name !== undefined && { name }), ...inputs };
    return render(this.#context, { name: profile.replace(/@.*$/, ""), commit: profile_commit, variables });
  }
}

interface Rendered {
  readonly type: string;
  readonly commit: string;
  readonly data: unknown;
}

async function render(context: ModuleContext, request: { name: string; commit?: string; variables?: object }): Promise<Profile> {
  const { name } = request;
  const { type, commit, data } = await context.call<Rendered>("composition:render", { ...request, unresolved: "keep" });
  if (type !== "profile")
    throw new CodedError("COMPOSITION_INVALID", `${name} is of the type ${type}; an agent needs a profile.`, { name, type });
  const read = parseInput(profileFields, data);
  if (read.success) return { ...read.data, commit };
  const issues = issuesOf(read.problems);
  throw new CodedError("COMPOSITION_INVALID", `${name}: ${tellIssues(issues)}`, { name, issues });
}
