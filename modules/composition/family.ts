/** The family tree of a composition, from the `lineage` that forks and merges write. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { Catalogue, Entry } from "./catalogue/catalogue.ts";
import { type Performance, performanceFields } from "./catalogue/performance.ts";
import { type CompositionFields, compositionTypes } from "./content.ts";
import { type CompositionStore, parseReference, pathOf } from "./store.ts";

const mostGenerations = 64;

const parentReference = z.union([
  z.string().transform(parseReference),
  z.object({ name: z.string(), version: z.string().optional(), commit: z.string().optional() }),
]);
const lineageFields = z.looseObject({
  parent: parentReference,
  commit: z.string().optional().catch(undefined),
  reason: z.string().optional(),
});

/** What a composition was forked from, and why. */
export function originOf(fields: CompositionFields | undefined) {
  const { parent, commit, reason } = lineageFields.safeParse(fields?.lineage).data ?? {};
  return parent && { parent: { ...(commit !== undefined && { commit }), ...parent }, ...(reason !== undefined && { reason }) };
}

const relative = {
  name: z.string(),
  version: z.string().optional().describe("at HEAD, or the last before it was deleted"),
  forked_from: z.object({ name: z.string(), version: z.string().optional(), commit: z.string().optional() }).optional(),
  reason: z.string().optional().describe("of the fork"),
  deleted: z.literal(true).optional(),
  performance: performanceFields.optional(),
};
const ancestor = z.object(relative);
type Relative = z.output<typeof ancestor>;
export interface Descendant extends Relative {
  children: Descendant[];
}
export const descendant: z.ZodType<Descendant> = z.object({
  ...relative,
  get children() {
    return z.array(descendant);
  },
});
export const family = z.object({ ancestors: z.array(ancestor).describe("the parent first"), tree: descendant });

/** Reads up to the first ancestor, also past deleted ones, and down to all descendants. */
export class Family {
  readonly #catalogue: Catalogue;
  readonly #store: CompositionStore;
  readonly #children: Map<string, Entry[]>;

  constructor(catalogue: Catalogue, store: CompositionStore) {
    this.#catalogue = catalogue;
    this.#store = store;
    const forks = catalogue.entries().filter((entry) => originOf(entry.fields));
    this.#children = Map.groupBy(forks, ({ fields }) => originOf(fields)?.parent.name ?? "");
  }

  /** Undefined if there never was such a composition. */
  async of(name: string): Promise<z.output<typeof family> | undefined> {
    const self = await this.#find(name);
    if (!self) return undefined;
    const ancestors: Relative[] = [];
    const seen = new Set([name]);
    let next = originOf(self.fields)?.parent;
    while (next && !seen.has(next.name) && ancestors.length < mostGenerations) {
      seen.add(next.name);
      const found: Found = (await this.#find(next.name)) ?? { deleted: true };
      ancestors.push(this.#describe(next.name, found));
      next = originOf(found.fields)?.parent;
    }
    return { ancestors, tree: this.#grow(name, self, new Set(ancestors.map((one) => one.name))) };
  }

  #grow(name: string, found: Found, seen: ReadonlySet<string>): Descendant {
    const deeper = new Set([...seen, name]);
    const forks = deeper.size > mostGenerations ? [] : (this.#children.get(name) ?? []);
    const children = forks.filter((fork) => !deeper.has(fork.name)).map((fork) => this.#grow(fork.name, fork, deeper));
    return { ...this.#describe(name, found), children };
  }

  async #find(name: string): Promise<Found | undefined> {
    const paths = compositionTypes.map((type) => pathOf(type, name));
    const present = this.#catalogue.entries().find(({ path }) => paths.includes(path));
    if (present) return present;
    for (const path of paths) {
      const last = this.#catalogue.history.of(path, 10).find(({ version }) => version !== undefined);
      if (!last) continue;
      const { fields } = await this.#store.get({ name, commit: last.commit });
      return { deleted: true, ...(!(fields instanceof CodedError) && { fields }) };
    }
    return undefined;
  }

  #describe(name: string, { fields, deleted }: Found): Relative {
    const { parent, reason } = originOf(fields) ?? {};
    const performance: Performance | undefined = this.#catalogue.performance.of(name, parent?.name);
    return {
      name,
      version: fields?.version,
      ...(parent && { forked_from: parent }),
      ...(reason !== undefined && { reason }),
      ...(deleted && { deleted }),
      ...(performance && { performance }),
    };
  }
}

interface Found {
  readonly fields?: CompositionFields;
  readonly deleted?: true;
}
