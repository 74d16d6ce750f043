/** What of the repository could not be read because an object is damaged: the rest is indexed without it, until it is mended. */
import { CodedError } from "../../../daemon/errors.ts";
import type { Database, Repository } from "../../../daemon/module.ts";
import { progressOf, setProgress } from "./tables.ts";

/** Milliseconds between looks whether it is mended. */
const lookEvery = 1_000;

export class Damage {
  readonly #database: Database;
  readonly #repository: Repository;
  /** Object → the file that needs it. */
  #objects: Map<string, string>;
  #looked = 0;

  constructor(database: Database, repository: Repository) {
    this.#database = database;
    this.#repository = repository;
    this.#objects = new Map(JSON.parse(progressOf(database, "damage") ?? "[]"));
  }

  /** One line for each file, with what is missing. */
  describe(): string[] {
    return [...this.#objects].map(([object, path]) => `${path}: object ${object} is missing or damaged`);
  }

  /** Reads what a file needs. @returns the error, noted down, if that is damaged */
  async tryRead<Content>(path: string, read: () => Promise<Content>): Promise<Content | CodedError> {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof CodedError) || typeof error.details.object !== "string") throw error;
      this.#objects.set(error.details.object, path);
      setProgress(this.#database, "damage", JSON.stringify([...this.#objects]));
      return error;
    }
  }

  /** Can any of it be read again? Looks at most once in a second. */
  async isMended(): Promise<boolean> {
    if (this.#objects.size === 0 || Date.now() - this.#looked < lookEvery) return false;
    this.#looked = Date.now();
    for (const object of this.#objects.keys()) {
      const isReadable = await this.#repository.readBlob(object).then(
        () => true,
        () => false,
      );
      if (isReadable) return true;
    }
    return false;
  }

  forget(): void {
    this.#objects = new Map();
  }
}
