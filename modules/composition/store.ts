/** Compositions as files of the repository. */
import { CodedError } from "../../daemon/errors.ts";
import type { CommitAuthor, Repository, RepositoryFile } from "../../daemon/module.ts";
import { isCompositionName } from "../../daemon/names.ts";
import { suggest } from "../../daemon/suggestion.ts";
import { type CompositionFields, type CompositionType, compositionTypes, tryReadComposition } from "./content.ts";

const rememberedFiles = 5_000;
const commitGrammar = /^[0-9a-f]{40}$/;
const decisionsFile = /_decisions\.yaml$/;

const folderOf = (type: CompositionType): string => `${type}s`;
export const pathOf = (type: CompositionType, name: string): string => `${folderOf(type)}/${name}.yaml`;

export interface CompositionPlace {
  readonly name: string;
  readonly type: CompositionType;
}

/** What a file of this path is; undefined for what is no composition. */
export function placeOf(path: string): CompositionPlace | undefined {
  const [, folder, name = ""] = /^(\w+)s\/([^/]+)\.yaml$/.exec(path) ?? [];
  const type = compositionTypes.find((candidate) => candidate === folder);
  if (!type || !isCompositionName(name) || (type === "orchestration" && decisionsFile.test(path))) return undefined;
  return { name, type };
}

export interface Composition {
  readonly name: string;
  readonly type: CompositionType;
  /** The commit it was read at. */
  readonly commit: string;
  readonly file: RepositoryFile;
  /** What it says, or why it is invalid. */
  readonly fields: CompositionFields | CodedError;
}

export interface Reference {
  readonly name: string;
  readonly version?: string;
  readonly commit?: string;
}

/** Splits `name`, `name@version` and `name@commit`. */
export function parseReference(text: string): Reference {
  const [name = "", at] = text.split("@", 2);
  if (at === undefined) return { name };
  return commitGrammar.test(at) ? { name, commit: at } : { name, version: at };
}

/** Tells the newest commit after which a file had a version. */
export type FindVersion = (path: string, version: string) => Promise<string | undefined>;

export class CompositionStore {
  readonly #repository: Repository;
  readonly #findVersionOf: FindVersion;
  /** Blob id → fields: a text is read once, whichever commits have it. */
  readonly #fields = new Map<string, CompositionFields | CodedError>();

  constructor(repository: Repository, findVersion: FindVersion) {
    this.#repository = repository;
    this.#findVersionOf = findVersion;
  }

  /**
   * At HEAD, at a commit, or at the newest commit whose file has the version.
   * @throws CodedError COMPOSITION_NOT_FOUND
   */
  async get(reference: Reference): Promise<Composition> {
    const found = isCompositionName(reference.name) ? await this.#find(reference) : undefined;
    if (found) return found;
    const at = reference.version ?? reference.commit;
    const suggestion = at === undefined && isCompositionName(reference.name) ? await this.#nearest(reference.name) : undefined;
    const missing = `There is no composition ${reference.name}${at ? `@${at}` : ""}`;
    throw new CodedError("COMPOSITION_NOT_FOUND", suggestion === undefined ? missing : `${missing}; did you mean ${suggestion}?`, {
      ...reference,
    });
  }

  /** The name at HEAD that was probably meant. */
  async #nearest(name: string): Promise<string | undefined> {
    const lists = await Promise.all(compositionTypes.map((type) => this.#repository.list(folderOf(type))));
    return suggest(
      name,
      lists.flat().flatMap((path) => placeOf(path)?.name ?? []),
    );
  }

  /** The composition at HEAD, undefined if there is none. */
  async find(name: string): Promise<Composition | undefined> {
    return isCompositionName(name) ? this.#find({ name }) : undefined;
  }

  async #find({ name, version, commit }: Reference): Promise<Composition | undefined> {
    const tip = commit ?? (await this.#repository.head());
    if (!tip) return undefined;
    for (const type of compositionTypes) {
      const current = await this.#read(type, name, tip);
      if (current && (version === undefined || versionOf(current) === version)) return current;
      const earlier = version === undefined ? undefined : await this.#findVersion(type, name, version);
      if (earlier) return earlier;
    }
    return undefined;
  }

  async #findVersion(type: CompositionType, name: string, version: string): Promise<Composition | undefined> {
    const commit = await this.#findVersionOf(pathOf(type, name), version);
    const composition = commit && (await this.#read(type, name, commit));
    return composition && versionOf(composition) === version ? composition : undefined;
  }

  async #read(type: CompositionType, name: string, commit: string): Promise<Composition | undefined> {
    const file = await this.#repository.read(pathOf(type, name), commit);
    if (!file) return undefined;
    const key = `${file.blob} ${type} ${name}`;
    const fields = this.#fields.get(key) ?? tryReadComposition(file.content, { name, type });
    this.#fields.set(key, fields);
    if (this.#fields.size > rememberedFiles) this.#fields.delete(this.#fields.keys().next().value as string);
    return { name, type, commit, file, fields };
  }
}

/** Undefined for an invalid text. */
export const versionOf = ({ fields }: Composition): string | undefined => (fields instanceof CodedError ? undefined : fields.version);

/** The fields of a composition that must be valid. @throws CodedError COMPOSITION_INVALID */
export function fieldsOf({ fields }: Composition): CompositionFields {
  if (fields instanceof CodedError) throw fields;
  return fields;
}

/** `Name <email>` or a name alone. */
export function parseAuthor(text: string | undefined): CommitAuthor | undefined {
  if (!text) return undefined;
  const parts = /^([^<>]*)<([^<>]+)>$/.exec(text);
  return parts ? { name: (parts[1] as string).trim(), email: (parts[2] as string).trim() } : { name: text, email: "reprise@localhost" };
}
